/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At build time: a YAML file as JSON, with --bytes as the numbers of a C array. Plain scalars are
 * null, true, false or numbers where JSON has such words, else strings.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static json_t *convert(yaml_document_t *document, int index);

static json_t *convert_scalar(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;
	json_t *value;

	if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		if (!*text)
			return json_null();
		value = json_loads(text, JSON_DECODE_ANY, NULL);
		if (value && !json_is_object(value) && !json_is_array(value))
			return value;
		json_decref(value);
	}
	return json_stringn(text, node->data.scalar.length);
}

static json_t *convert_mapping(yaml_document_t *document, const yaml_node_t *node)
{
	json_t *object = json_object();

	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(document, pair->key);

		if (key->type != YAML_SCALAR_NODE ||
		    json_object_get(object, (const char *)key->data.scalar.value)) {
			fprintf(stderr, "line %zu: a key that is no scalar, or is there twice\n",
				key->start_mark.line + 1);
			exit(1);
		}
		json_object_set_new(object, (const char *)key->data.scalar.value,
				    convert(document, pair->value));
	}
	return object;
}

static json_t *convert(yaml_document_t *document, int index)
{
	const yaml_node_t *node = yaml_document_get_node(document, index);
	json_t *list;

	switch (node->type) {
	case YAML_SCALAR_NODE: return convert_scalar(node);
	case YAML_MAPPING_NODE: return convert_mapping(document, node);
	case YAML_SEQUENCE_NODE:
		list = json_array();
		for (yaml_node_item_t *item = node->data.sequence.items.start;
		     item < node->data.sequence.items.top; item++)
			json_array_append_new(list, convert(document, *item));
		return list;
	default: return NULL;
	}
}

static void print_bytes(const char *text)
{
	for (size_t i = 0; text[i]; i++)
		printf("%d,%s", (unsigned char)text[i], i % 20 == 19 ? "\n" : "");
	printf("0\n");
}

int main(int argc, char **argv)
{
	bool bytes = argc == 3 && strcmp(argv[1], "--bytes") == 0;
	yaml_document_t document;
	yaml_parser_t parser;
	json_t *json = NULL;
	char *text;
	FILE *file;

	if (argc < 2 || argc > 3 || (argc == 3 && !bytes)) {
		fprintf(stderr, "usage: %s [--bytes] FILE\n", argv[0]);
		return 2;
	}
	file = fopen(argv[argc - 1], "r");
	if (!file) {
		perror(argv[argc - 1]);
		return 1;
	}
	if (!yaml_parser_initialize(&parser))
		return 1;
	yaml_parser_set_input_file(&parser, file);
	if (!yaml_parser_load(&parser, &document)) {
		fprintf(stderr, "%s: line %zu: %s\n", argv[argc - 1], parser.problem_mark.line + 1,
			parser.problem ? parser.problem : "no YAML");
		return 1;
	}
	if (yaml_document_get_root_node(&document))
		json = convert(&document, 1);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!text) {
		fprintf(stderr, "%s: nothing that JSON can say\n", argv[argc - 1]);
		return 1;
	}
	if (bytes)
		print_bytes(text);
	else
		puts(text);
	free(text);
	json_decref(json);
	yaml_document_delete(&document);
	yaml_parser_delete(&parser);
	fclose(file);
	return ferror(stdout) || fflush(stdout);
}
