/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_help.h"
#include "ebb/cleanup.h"
#include "ebb/config.h"
#include "ebb/log.h"
#include "ebb/util.h"

/* Who set an option; a later one replaces what an earlier one gave. */
enum source { SOURCE_NONE, SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ARGUMENT };

struct loader {
	const struct config_program *program;
	void *target;
	unsigned char *sources; /* enum source for each option */
	/* Where the value at hand comes from, for messages. */
	const char *file;
	int line;
	int error;
	char message[2048];
	bool own_section;
};

const char *ebb_version(void)
{
	return EBB_VERSION;
}

/* Keeps "ebb-agent: /etc/ebb.conf:3: ..." to be shown at the end; the first one counts. -EINVAL. */
static int complain(struct loader *loader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static int complain(struct loader *loader, const char *format, ...)
{
	char text[1024];
	size_t at;
	va_list args;

	if (loader->error)
		return loader->error;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (loader->file && loader->line)
		at = (size_t)snprintf(loader->message, sizeof(loader->message),
				      "%.255s:%d: ", loader->file, loader->line);
	else
		at = 0;
	log_escape(text, loader->message + at, sizeof(loader->message) - at);
	return loader->error = -EINVAL;
}

/* --- Names ------------------------------------------------------------------------------------ */

/* Insertions, deletions, replacements and swaps of neighbours between two short names. */
static unsigned distance(const char *a, const char *b)
{
	enum { NAME_MAX_LEN = 32 };
	unsigned char rows[3][NAME_MAX_LEN + 1];
	size_t n_a = strlen(a), n_b = strlen(b);

	if (n_a > NAME_MAX_LEN || n_b > NAME_MAX_LEN)
		return UINT_MAX;
	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = (unsigned char)j;
	for (size_t i = 1; i <= n_a; i++) {
		unsigned char *row = rows[i % 3], *above = rows[(i + 2) % 3];
		const unsigned char *above2 = rows[(i + 1) % 3];
		row[0] = (unsigned char)i;
		for (size_t j = 1; j <= n_b; j++) {
			unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN(best, above[j] + 1u);
			best = MIN(best, row[j - 1] + 1u);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, above2[j - 2] + 1u);
			row[j] = (unsigned char)best;
		}
	}
	return rows[n_a % 3][n_b];
}

/* What was probably meant: a name within a third of its length, or one that begins so. NULL: none.
 */
static const char *closest(const struct config_program *program, const char *name)
{
	static const char *const always[] = {"config", "help", "version"};
	const char *best = NULL;
	unsigned best_distance = (unsigned)MAX(strlen(name) / 3, 1) + 1;

	for (size_t i = 0; i < program->n_options + ARRAY_SIZE(always); i++) {
		const char *known = i < program->n_options ? program->options[i].name
							   : always[i - program->n_options];
		unsigned d = distance(name, known);
		if (strlen(name) >= 3 && !strncmp(name, known, strlen(name)))
			d = 0;
		if (d < best_distance) {
			best = known;
			best_distance = d;
		}
	}
	return best;
}

/* `n`: length of the name, which an '=' may follow. */
static const struct option_spec *find(const struct config_program *program, const char *name,
				      size_t n)
{
	for (size_t i = 0; i < program->n_options; i++)
		if (!strncmp(program->options[i].name, name, n) && !program->options[i].name[n])
			return &program->options[i];
	return NULL;
}

/* --- Values ----------------------------------------------------------------------------------- */

static void *field(const struct loader *loader, const struct option_spec *spec)
{
	return (char *)loader->target + spec->offset;
}

static void list_clear(struct string_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct string_list){0};
}

static int list_add(struct string_list *list, const char *text)
{
	while (*text) {
		text += strspn(text, ", \t");
		size_t n = strcspn(text, ",");
		const char *next = text + n;
		while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
			n--;
		if (n) {
			char **grown = reallocarray(list->items, list->n + 1, sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			list->items = grown;
			grown[list->n] = strndup(text, n);
			if (!grown[list->n])
				return -ENOMEM;
			list->n++;
		}
		text = next;
	}
	return 0;
}

static int bool_from_text(const char *text, bool *ret_value)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
			*ret_value = !strcmp(text, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

/* How the user wrote it: "--period" on the command line, "period" in the file. */
static const char *dashes(const struct loader *loader)
{
	return loader->file ? "" : "--";
}

static int set_choice(struct loader *loader, const struct option_spec *spec, const char *text)
{
	char known[256] = "";

	for (int i = 0; spec->choices[i]; i++) {
		if (!strcmp(text, spec->choices[i])) {
			*(int *)field(loader, spec) = i;
			return 0;
		}
		size_t at = strlen(known);
		snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", spec->choices[i]);
	}
	return complain(loader, "%s%s: \"%s\" is none of %s", dashes(loader), spec->name, text,
			known);
}

static int set_uint(struct loader *loader, const struct option_spec *spec, const char *text)
{
	unsigned max = spec->max ? spec->max : UINT_MAX;
	uint64_t value;
	int r = parse_u64(text, &value);

	if (r == -EINVAL)
		return complain(loader, "%s%s: \"%s\" is no number", dashes(loader), spec->name,
				text);
	if (r < 0 || value < spec->min || value > max)
		return complain(loader, "%s%s: %s is outside %u to %u", dashes(loader), spec->name,
				text, spec->min, max);
	*(unsigned *)field(loader, spec) = (unsigned)value;
	return 0;
}

static int set(struct loader *loader, const struct option_spec *spec, const char *text,
	       enum source source)
{
	unsigned char *set_by = &loader->sources[spec - loader->program->options];
	bool first = *set_by != source;
	void *at = field(loader, spec);
	char *copy;

	/* On the command line the last one wins, as everywhere; in a file it is a mistake. */
	if (!first && source == SOURCE_FILE && spec->kind != OPTION_LIST)
		return complain(loader, "%s is there twice", spec->name);
	*set_by = (unsigned char)source;

	switch (spec->kind) {
	case OPTION_STRING:
		if (!*text)
			return complain(loader, "%s%s needs a value", dashes(loader), spec->name);
		copy = strdup(text);
		if (!copy)
			return loader->error = -ENOMEM;
		free(*(char **)at);
		*(char **)at = copy;
		return 0;
	case OPTION_LIST:
		if (first)
			list_clear(at);
		return list_add(at, text) < 0 ? loader->error = -ENOMEM : 0;
	case OPTION_UINT: return set_uint(loader, spec, text);
	case OPTION_BOOL:
		if (bool_from_text(text, at) < 0)
			return complain(loader, "%s%s: \"%s\" is neither yes nor no",
					dashes(loader), spec->name, text);
		return 0;
	case OPTION_CHOICE: return set_choice(loader, spec, text);
	}
	return -EINVAL;
}

/* --- The file --------------------------------------------------------------------------------- */

struct file_reader {
	FILE *file;
	struct loader *loader;
	char *line;
	size_t room;
};

/* Hands inih one line: it cuts long ones without a word, and does not tell where it is. */
static char *read_line(char *buffer, int size, void *stream)
{
	struct file_reader *reader = stream;
	struct loader *loader = reader->loader;
	ssize_t n = getline(&reader->line, &reader->room, reader->file);

	if (n < 0 || loader->error)
		return NULL;
	loader->line++;
	if (strlen(reader->line) != (size_t)n) {
		complain(loader, "a NUL byte");
		return NULL;
	}
	if (n >= size) {
		complain(loader, "a line may have %d characters; lists may be given in several",
			 size - 2);
		return NULL;
	}
	memcpy(buffer, reader->line, n + 1);
	return buffer;
}

static int on_key(void *userdata, const char *section, const char *name, const char *value)
{
	struct loader *loader = userdata;
	const struct config_program *program = loader->program;
	const struct option_spec *spec;

	if (loader->error)
		return 0;
	if (!*section) {
		complain(loader, "\"%s\" is in no section; put it below [%s]", name,
			 program->section);
		return 0;
	}
	/* One file may serve several programs. */
	if (strcmp(section, program->section))
		return 1;
	loader->own_section = true;
	spec = find(program, name, strlen(name));
	if (!spec) {
		const char *meant = closest(program, name);
		complain(loader, "unknown key \"%s\"%s%s%s", name, meant ? ", did you mean \"" : "",
			 meant ? meant : "", meant ? "\"?" : "");
		return 0;
	}
	return set(loader, spec, value, SOURCE_FILE) == 0;
}

static int load_file(struct loader *loader, const char *path)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	struct file_reader reader = {.file = file, .loader = loader};
	int broken;

	if (!file) {
		int r = -errno;
		complain(loader, "cannot read --config %s: %s", path, strerror(errno));
		return r;
	}
	loader->file = path;
	broken = ini_parse_stream(read_line, &reader, on_key, loader);
	if (!loader->error && ferror(file)) {
		loader->line = 0;
		complain(loader, "cannot read --config %s: it is no file, or the disk failed",
			 path);
	}
	/* inih reads on behind a line that it cannot read, and what it makes of the following ones
	 * may be wrong for that reason. */
	if (broken > 0 && (!loader->error || broken < loader->line)) {
		loader->error = 0;
		loader->line = broken;
		complain(loader, "this is no \"key = value\", \"[section]\" or comment");
	}
	if (!loader->error && loader->line && !loader->own_section)
		log_warning("%s has nothing for this program: no key below [%s]", path,
			    loader->program->section);
	free(reader.line);
	loader->file = NULL;
	loader->line = 0;
	return loader->error;
}

/* --- The command line ------------------------------------------------------------------------- */

struct argument {
	const struct option_spec *spec; /* NULL: --config */
	const char *value;
	int used; /* of argv */
};

/* The option at argv[0], `left` arguments left; its value is behind the '=' or the next argument.
 */
static int split_argument(struct loader *loader, int left, char **argv, struct argument *ret)
{
	const char *name = argv[0] + 2, *equals = strchr(argv[0], '=');
	struct argument argument = {.used = 1};
	char given[64];
	size_t n;

	if (strncmp(argv[0], "--", 2) || !*name || equals == name) {
		_cleanup_free_ char *word = url_public(argv[0]);

		return complain(loader, "unexpected argument \"%s\" (--help lists the options)",
				word ? word : "");
	}
	n = equals ? (size_t)(equals - name) : strlen(name);
	snprintf(given, sizeof(given), "%.*s", (int)MIN(n, sizeof(given)), name);
	if (strcmp(given, "config")) {
		argument.spec = find(loader->program, name, n);
		if (!argument.spec) {
			const char *meant = closest(loader->program, given);
			return complain(loader, "unknown option --%s%s%s%s", given,
					meant ? ", did you mean --" : " (--help lists all)",
					meant ? meant : "", meant ? "?" : "");
		}
	}
	if (equals) {
		argument.value = equals + 1;
	} else if (argument.spec && argument.spec->kind == OPTION_BOOL) {
		argument.value = "yes";
	} else if (left > 1) {
		argument.value = argv[1];
		argument.used = 2;
	} else {
		const char *what = argument.spec ? argument.spec->value : "FILE";
		return complain(loader, "--%s needs a value%s%s", given, what ? ": " : "",
				what ? what : "");
	}
	*ret = argument;
	return 0;
}

static int load_arguments(struct loader *loader, int argc, char **argv)
{
	struct argument argument = {0};
	int r = 0;

	/* Whoever asks for help gets it, whatever else is wrong. */
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			config_help(loader->program, "text");
			return CONFIG_EXIT;
		}
		if (!strncmp(argv[i], "--help=", 7)) {
			if (config_help(loader->program, argv[i] + 7) < 0)
				return complain(loader, "%s: there is --help only", argv[i]);
			return CONFIG_EXIT;
		}
		if (!strcmp(argv[i], "--version")) {
			printf("%s %s\n", loader->program->name, ebb_version());
			return CONFIG_EXIT;
		}
	}
	/* The file first, wherever --config stands. */
	for (int pass = 0; pass < 2; pass++)
		for (int i = 1; i < argc && r == 0; i += argument.used) {
			r = split_argument(loader, argc - i, argv + i, &argument);
			if (r == 0 && !argument.spec && pass == 0)
				r = load_file(loader, argument.value);
			else if (r == 0 && argument.spec && pass == 1)
				r = set(loader, argument.spec, argument.value, SOURCE_ARGUMENT);
			if (argument.spec && argument.spec->secret && pass == 1)
				url_blank((char *)argument.value);
		}
	return r;
}

int config_load(const struct config_program *program, int argc, char **argv, void *target)
{
	_cleanup_free_ unsigned char *sources = calloc(program->n_options + 1, 1);
	struct loader loader = {.program = program, .target = target, .sources = sources};
	int r = 0;

	if (!sources)
		return -ENOMEM;
	for (size_t i = 0; i < program->n_options && r == 0; i++)
		if (program->options[i].by_default)
			r = set(&loader, &program->options[i], program->options[i].by_default,
				SOURCE_DEFAULT);
	if (r == 0)
		r = load_arguments(&loader, argc, argv);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", program->name,
			*loader.message ? loader.message : "no memory");
	if (r)
		config_clear(program, target);
	return r;
}

void config_clear(const struct config_program *program, void *target)
{
	struct loader loader = {.program = program, .target = target};

	for (size_t i = 0; i < program->n_options; i++) {
		const struct option_spec *spec = &program->options[i];
		void *at = field(&loader, spec);

		switch (spec->kind) {
		case OPTION_STRING:
			free(*(char **)at);
			*(char **)at = NULL;
			break;
		case OPTION_LIST: list_clear(at); break;
		case OPTION_UINT: *(unsigned *)at = 0; break;
		case OPTION_BOOL: *(bool *)at = false; break;
		case OPTION_CHOICE: *(int *)at = 0; break;
		}
	}
}
