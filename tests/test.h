/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test harness: TEST(name) { ... } in any number, then TEST_MAIN(). Each test prints "ok NAME", "not ok NAME" or
 * "skip NAME # reason"; tests/run counts those lines. A failed CHECK ends its test, not the program. Cleanup that must happen on
 * failure too goes into a function registered with test_at_end().
 */
#ifndef EBB_TEST_H
#define EBB_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
	const char *name;
	void (*fn)(void);
	struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static jmp_buf test_jump;
static struct {
	void (*fn)(void *);
	void *arg;
} test_ends[16];
static int test_n_ends;

__attribute__((unused)) static void test_at_end(void (*fn)(void *), void *arg)
{
	if (test_n_ends < 16) {
		test_ends[test_n_ends].fn = fn;
		test_ends[test_n_ends++].arg = arg;
	}
}

#define TEST(id)                                                                                   \
	static void test_fn_##id(void);                                                            \
	static struct test_case test_case_##id = {#id, test_fn_##id, NULL};                        \
	__attribute__((constructor)) static void test_add_##id(void)                               \
	{                                                                                          \
		*test_last = &test_case_##id;                                                      \
		test_last = &test_case_##id.next;                                                  \
	}                                                                                          \
	static void test_fn_##id(void)

#define TEST_FAIL(...)                                                                             \
	do {                                                                                       \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                    \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fputc('\n', stderr);                                                               \
		longjmp(test_jump, 1);                                                             \
	} while (0)

static char test_skip_reason[256];
#define SKIP(...)                                                                                  \
	do {                                                                                       \
		snprintf(test_skip_reason, sizeof(test_skip_reason), __VA_ARGS__);                 \
		longjmp(test_jump, 2);                                                             \
	} while (0)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			TEST_FAIL("CHECK(%s)", #cond);                                             \
	} while (0)
#define CHECK_INT(got, want)                                                                       \
	do {                                                                                       \
		long long _g = (long long)(got), _w = (long long)(want);                           \
		if (_g != _w)                                                                      \
			TEST_FAIL("%s is %lld, want %lld", #got, _g, _w);                          \
	} while (0)
#define CHECK_NEAR(got, want, eps)                                                                 \
	do {                                                                                       \
		double _g = (got), _w = (want);                                                    \
		if (!(fabs(_g - _w) <= (eps)))                                                     \
			TEST_FAIL("%s is %g, want %g", #got, _g, _w);                              \
	} while (0)
#define CHECK_STR(got, want)                                                                       \
	do {                                                                                       \
		const char *_g = (got), *_w = (want);                                              \
		if (!_g || strcmp(_g, _w))                                                         \
			TEST_FAIL("%s is \"%s\", want \"%s\"", #got, _g ? _g : "(null)", _w);      \
	} while (0)

/* A function of its own: no local of a caller is at stake when longjmp returns here. */
__attribute__((unused, noinline)) static int test_run(void (*fn)(void))
{
	int how = setjmp(test_jump);

	if (how == 0)
		fn();
	return how;
}

#define TEST_MAIN()                                                                                \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		/* Static: longjmp may lose what a register held. */                               \
		static struct test_case *t;                                                        \
		static int failed;                                                                 \
		setvbuf(stdout, NULL, _IOLBF, 0);                                                  \
		for (t = test_first; t; t = t->next) {                                             \
			if (argc > 1 && !strstr(t->name, argv[1]))                                 \
				continue;                                                          \
			test_n_ends = 0;                                                           \
			int how = test_run(t->fn);                                                 \
			while (test_n_ends > 0) {                                                  \
				test_n_ends--;                                                     \
				test_ends[test_n_ends].fn(test_ends[test_n_ends].arg);             \
			}                                                                          \
			if (how == 0)                                                              \
				printf("ok %s\n", t->name);                                        \
			else if (how == 2)                                                         \
				printf("skip %s # %s\n", t->name, test_skip_reason);               \
			else {                                                                     \
				printf("not ok %s\n", t->name);                                    \
				failed = 1;                                                        \
			}                                                                          \
		}                                                                                  \
		return failed;                                                                     \
	}

#endif
