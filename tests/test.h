/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test harness: TEST(name) { ... } in any number, then TEST_MAIN(). Each test prints "ok NAME",
 * "not ok NAME # why" or "skip NAME # reason"; tests/run counts those lines. A failed CHECK ends
 * its test, not the program, by a longjmp: cleanup attributes are not run then, so what must be
 * cleaned up on failure too goes into a function registered with test_at_end(). CHECK only in the
 * main thread. `test_x NAME` runs the tests whose name contains NAME.
 */
#ifndef EBB_TEST_H
#define EBB_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
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
static bool test_ending;

__attribute__((unused)) static void test_at_end(void (*fn)(void *), void *arg)
{
	if (test_n_ends == sizeof(test_ends) / sizeof(test_ends[0])) {
		fprintf(stderr, "too many calls of test_at_end()\n");
		abort();
	}
	test_ends[test_n_ends].fn = fn;
	test_ends[test_n_ends++].arg = arg;
}

#define TEST(id)                                                            \
	static void test_fn_##id(void);                                     \
	static struct test_case test_case_##id = {#id, test_fn_##id, NULL}; \
	__attribute__((constructor)) static void test_add_##id(void)        \
	{                                                                   \
		*test_last = &test_case_##id;                               \
		test_last = &test_case_##id.next;                           \
	}                                                                   \
	static void test_fn_##id(void)

static char test_failure[1024];
/* The whole text at once; as much of it as goes into one line with the test's "not ok". */
__attribute__((unused, noreturn, format(printf, 3, 4))) static void
test_fail(const char *file, int line, const char *format, ...)
{
	va_list args, again;
	int n = snprintf(test_failure, sizeof(test_failure), "%s:%d: ", file, line);

	fprintf(stderr, "%s", test_failure);
	va_start(args, format);
	va_copy(again, args);
	vfprintf(stderr, format, args);
	vsnprintf(test_failure + n, sizeof(test_failure) - n, format, again);
	va_end(again);
	va_end(args);
	fputc('\n', stderr);
	for (char *c = test_failure; *c; c++)
		if (*c == '\n')
			*c = ' ';
	if (test_ending)
		abort();
	longjmp(test_jump, 1);
}
#define TEST_FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

static char test_skip_reason[256];
#define SKIP(...)                                                                  \
	do {                                                                       \
		snprintf(test_skip_reason, sizeof(test_skip_reason), __VA_ARGS__); \
		longjmp(test_jump, 2);                                             \
	} while (0)

#define CHECK(cond)                                    \
	do {                                           \
		if (!(cond))                           \
			TEST_FAIL("CHECK(%s)", #cond); \
	} while (0)
#define CHECK_INT(got, want)                                              \
	do {                                                              \
		long long _g = (long long)(got), _w = (long long)(want);  \
		if (_g != _w)                                             \
			TEST_FAIL("%s is %lld, want %lld", #got, _g, _w); \
	} while (0)
#define CHECK_NEAR(got, want, eps)                                    \
	do {                                                          \
		double _g = (got), _w = (want);                       \
		if (!(fabs(_g - _w) <= (eps)))                        \
			TEST_FAIL("%s is %g, want %g", #got, _g, _w); \
	} while (0)
#define CHECK_STR(got, want)                                                                  \
	do {                                                                                  \
		const char *_g = (got), *_w = (want);                                         \
		if (!_g || strcmp(_g, _w))                                                    \
			TEST_FAIL("%s is \"%s\", want \"%s\"", #got, _g ? _g : "(null)", _w); \
	} while (0)

/*
 * 0: passed, 1: failed, 2: skipped. A function of its own: nothing that changes between setjmp()
 * and longjmp() may live in its frame.
 */
__attribute__((unused, noinline)) static int test_run(const struct test_case *test)
{
	int how = setjmp(test_jump);

	if (how == 0)
		test->fn();
	return how;
}

__attribute__((unused)) static int test_main(int argc, char **argv)
{
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (const struct test_case *t = test_first; t; t = t->next) {
		if (argc > 1 && !strstr(t->name, argv[1]))
			continue;
		test_n_ends = 0;
		int how = test_run(t);
		/* A check that fails in here must not come back to the dead frame above. */
		test_ending = true;
		while (test_n_ends > 0) {
			test_n_ends--;
			test_ends[test_n_ends].fn(test_ends[test_n_ends].arg);
		}
		test_ending = false;
		if (how == 0)
			printf("ok %s\n", t->name);
		else if (how == 2)
			printf("skip %s # %s\n", t->name, test_skip_reason);
		else
			printf("not ok %s # %s\n", t->name, test_failure);
		failed |= how == 1;
	}
	return failed;
}

#define TEST_MAIN()                           \
	int main(int argc, char **argv)       \
	{                                     \
		return test_main(argc, argv); \
	}

#endif
