/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <errno.h>
#include <string.h>

static const struct arg_option *find(const struct arg_option *options, size_t n, const char *word,
				     const char **ret_inline)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);

	for (size_t i = 0; i < n; i++) {
		const struct arg_option *o = &options[i];

		if (strlen(o->name) == len && !strncmp(o->name, word, len)) {
			*ret_inline = equals ? equals + 1 : NULL;
			return o;
		}
		if (o->letter && word[1] == o->letter && !word[2]) {
			*ret_inline = NULL;
			return o;
		}
	}
	return NULL;
}

int args_parse(char **argv, const struct arg_option *options, size_t n_options, bool pass_unknown,
	       const char **ret_error, const char **ret_word)
{
	int left = 0;

	for (char **word = argv; *word; word++) {
		const struct arg_option *option;
		const char *given = NULL;

		if (!strcmp(*word, "--")) {
			/* Kept for the next parser, when there is one. */
			if (!pass_unknown)
				word++;
			for (; *word; word++)
				argv[left++] = *word;
			break;
		}
		if ((*word)[0] != '-' || !(*word)[1]) {
			argv[left++] = *word;
			continue;
		}
		option = find(options, n_options, *word, &given);
		if (!option) {
			if (pass_unknown) {
				argv[left++] = *word;
				continue;
			}
			*ret_error = "unknown option";
			*ret_word = *word;
			return -EINVAL;
		}
		if (option->flag) {
			if (given) {
				*ret_error = "this option takes no value";
				*ret_word = *word;
				return -EINVAL;
			}
			*option->flag = true;
			continue;
		}
		if (!given) {
			if (!word[1]) {
				*ret_error = "this option needs a value";
				*ret_word = *word;
				return -EINVAL;
			}
			given = *++word;
		}
		*option->value = given;
	}
	argv[left] = NULL;
	return left;
}
