/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "test.h"

static void remove_dir(void *arg)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", (char *)arg);
	if (system(command))
		fprintf(stderr, "cannot remove %s\n", (char *)arg);
}

static char dir[64];

static int make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ebb-test-util-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(remove_dir, dir);
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void make_file(int fd, const char *name, mode_t mode, const char *text)
{
	_cleanup_close_ int file = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(file >= 0);
	CHECK_INT(write(file, text, strlen(text)), strlen(text));
	CHECK_INT(fchmod(file, mode), 0);
}

TEST(resource_names_round_trip)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		CHECK_INT(ebb_resource_from_name(ebb_resource_name((enum ebb_resource)r)), r);
		CHECK(ebb_resource_title((enum ebb_resource)r));
		CHECK(ebb_resource_unit((enum ebb_resource)r));
	}
	CHECK_STR(ebb_resource_name(EBB_DISK_READ), "disk_read");
	CHECK_STR(ebb_resource_title(EBB_DISK_WRITE), "Disk_Write");
	CHECK_STR(ebb_resource_unit(EBB_NET), "Mbit/s");
	CHECK_INT(ebb_resource_from_name("Cpu"), EBB_RESOURCE_INVALID);
	CHECK_INT(ebb_resource_from_name(""), EBB_RESOURCE_INVALID);
	CHECK_INT(ebb_resource_from_name(NULL), EBB_RESOURCE_INVALID);
	CHECK(!ebb_resource_name(EBB_RESOURCE_INVALID));
	CHECK(!ebb_resource_title(EBB_RESOURCE_MAX));
}

TEST(hex_values)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++)
		CHECK_INT(hex_value(digits[i]), i);
	CHECK_INT(hex_value('A'), 10);
	CHECK_INT(hex_value('F'), 15);
	CHECK_INT(hex_value('g'), -1);
	CHECK_INT(hex_value('G'), -1);
	CHECK_INT(hex_value('/'), -1);
	CHECK_INT(hex_value(':'), -1);
	CHECK_INT(hex_value('\0'), -1);
}

TEST(parse_u64)
{
	uint64_t value = 7;

	CHECK_INT(parse_u64("0", &value), 0);
	CHECK(value == 0);
	CHECK_INT(parse_u64("18446744073709551615", &value), 0);
	CHECK(value == UINT64_MAX);
	CHECK_INT(parse_u64("007", &value), 0);
	CHECK(value == 7);
	CHECK_INT(parse_u64("18446744073709551616", &value), -ERANGE);
	CHECK_INT(parse_u64("99999999999999999999999", &value), -ERANGE);
	static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x10", "1.0", "1e3", "max"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(parse_u64(bad[i], &value), -EINVAL);
	CHECK(value == 7);
}

TEST(parse_i64)
{
	int64_t value = 5;

	CHECK_INT(parse_i64("-1", &value), 0);
	CHECK(value == -1);
	CHECK_INT(parse_i64("-9223372036854775808", &value), 0);
	CHECK(value == INT64_MIN);
	CHECK_INT(parse_i64("9223372036854775807", &value), 0);
	CHECK(value == INT64_MAX);
	CHECK_INT(parse_i64("9223372036854775808", &value), -ERANGE);
	CHECK_INT(parse_i64("-9223372036854775809", &value), -ERANGE);
	CHECK_INT(parse_i64("--1", &value), -EINVAL);
	CHECK_INT(parse_i64("-", &value), -EINVAL);
	CHECK_INT(parse_i64("", &value), -EINVAL);
	CHECK(value == INT64_MAX);
}

TEST(parse_double)
{
	double value = 3;

	CHECK_INT(parse_double("0.25", &value), 0);
	CHECK_NEAR(value, 0.25, 0);
	CHECK_INT(parse_double("-1e3", &value), 0);
	CHECK_NEAR(value, -1000, 0);
	CHECK_INT(parse_double("1e999", &value), -ERANGE);
	static const char *const bad[] = {"",   "nan", "inf", "-inf", "0x1p3", " 1",
					  "1 ", "+1",  ".",   "1e",   "1.2.3", "--1"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(parse_double(bad[i], &value), -EINVAL);
	CHECK_NEAR(value, -1000, 0);
}

static void ranges(const char *given, const char *want)
{
	struct cpu_list list;

	CHECK_INT(cpu_list_parse(given, &list), 0);
	_cleanup_free_ char *text = cpu_list_format_ranges(&list);
	CHECK_STR(text, want);
	cpu_list_clear(&list);
}

TEST(cpu_list_as_ranges)
{
	ranges("", "");
	ranges("5", "5");
	ranges("0,1,2,5", "0-2,5");
	ranges("7,0-2,6,3", "0-3,6-7");
	ranges("0-8191", "0-8191");
	ranges("65535,65534,65532", "65532,65534-65535");
}

TEST(cpu_list_parse_and_format)
{
	struct cpu_list list = {0};
	_cleanup_free_ char *text = NULL;

	CHECK_INT(cpu_list_parse("7,0-2,5", &list), 0);
	CHECK_INT(list.n, 5);
	text = cpu_list_format(&list);
	CHECK_STR(text, "7,0,1,2,5");
	CHECK(cpu_list_contains(&list, 2));
	CHECK(!cpu_list_contains(&list, 3));
	cpu_list_clear(&list);
	CHECK(!list.cpus && !list.n);

	CHECK_INT(cpu_list_parse("", &list), 0);
	CHECK_INT(list.n, 0);
	_cleanup_free_ char *none = cpu_list_format(&list);
	CHECK_STR(none, "");
	cpu_list_clear(&list);

	CHECK_INT(cpu_list_parse("0-65535", &list), 0);
	CHECK_INT(list.n, 65536);
	_cleanup_free_ char *all = cpu_list_format(&list);
	CHECK_STR(all + strlen(all) - 12, ",65534,65535");
	cpu_list_clear(&list);
}

TEST(cpu_list_refuses)
{
	static const char *const bad[] = {",",
					  "0,",
					  ",0",
					  "0,,1",
					  "3-1",
					  "-1",
					  "0-",
					  "0--1",
					  "a",
					  " 0",
					  "0 ",
					  "0\n",
					  "+1",
					  "65536",
					  "0x1",
					  "0,0",
					  "0-65536",
					  "1-3,2",
					  "0;",
					  "1-2-3",
					  "\t",
					  "0.5",
					  "99999999999999999999"};
	struct cpu_list list = {.n = 42};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (cpu_list_parse(bad[i], &list) != -EINVAL)
			TEST_FAIL("\"%s\" was taken", bad[i]);
	CHECK_INT(list.n, 42);
}

TEST(read_file_strips_one_newline)
{
	_cleanup_close_ int fd = make_dir();
	char buffer[8];

	make_file(fd, "f", 0600, "12345\n");
	CHECK_INT(read_file_at(fd, "f", buffer, sizeof(buffer)), 5);
	CHECK_STR(buffer, "12345");
	make_file(fd, "f", 0600, "a\n\n");
	CHECK_INT(read_file_at(fd, "f", buffer, sizeof(buffer)), 2);
	CHECK_STR(buffer, "a\n");
	make_file(fd, "f", 0600, "");
	CHECK_INT(read_file_at(fd, "f", buffer, sizeof(buffer)), 0);
	CHECK_STR(buffer, "");
	make_file(fd, "f", 0600, "1234567");
	CHECK_INT(read_file_at(fd, "f", buffer, sizeof(buffer)), 7);
	make_file(fd, "f", 0600, "12345678");
	CHECK_INT(read_file_at(fd, "f", buffer, sizeof(buffer)), -E2BIG);
	CHECK_INT(read_file_at(fd, "absent", buffer, sizeof(buffer)), -ENOENT);
	CHECK_INT(read_file_at(AT_FDCWD, "/", buffer, sizeof(buffer)), -EISDIR);
	CHECK_INT(read_file_at(AT_FDCWD, "/proc/self/comm", buffer, sizeof(buffer)), -E2BIG);
}

TEST(write_file)
{
	_cleanup_close_ int fd = make_dir();
	char buffer[16];

	CHECK_INT(write_file_at(fd, "f", "x", 0), -ENOENT);
	make_file(fd, "f", 0600, "");
	CHECK_INT(write_file_at(fd, "f", "100000 100000", O_NONBLOCK), 0);
	CHECK_INT(read_file_at(fd, "f", buffer, sizeof(buffer)), 13);
	CHECK_STR(buffer, "100000 100000");
	CHECK_INT(write_file_at(AT_FDCWD, "/dev/full", "x", 0), -ENOSPC);
}

TEST(token_file)
{
	_cleanup_close_ int fd = make_dir();
	_cleanup_free_ char *token = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/token", dir);
	CHECK_INT(token_read_file(path, &token), -ENOENT);
	make_file(fd, "token", 0644, "0123456789abcdef\n");
	CHECK_INT(token_read_file(path, &token), -EPERM);
	make_file(fd, "token", 0602, "0123456789abcdef\n");
	CHECK_INT(token_read_file(path, &token), -EPERM);
	make_file(fd, "token", 0600, "0123456789abcde\n");
	CHECK_INT(token_read_file(path, &token), -EINVAL);
	make_file(fd, "token", 0600, "");
	CHECK_INT(token_read_file(path, &token), -EINVAL);
	make_file(fd, "token", 0600, "0123456789 abcdef\n");
	CHECK_INT(token_read_file(path, &token), -EINVAL);
	make_file(fd, "token", 0600,
		  "0123456789\x01"
		  "abcdef\n");
	CHECK_INT(token_read_file(path, &token), -EINVAL);
	CHECK(!token);
	make_file(fd, "token", 0600, "0123456789abcdef\nsecond line\n");
	CHECK_INT(token_read_file(path, &token), -EINVAL);
	make_file(fd, "token", 0640, " \t0123456789abcdef \r\n\n \n");
	CHECK_INT(token_read_file(path, &token), 0);
	CHECK_STR(token, "0123456789abcdef");

	char big[600];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	make_file(fd, "token", 0600, big);
	_cleanup_free_ char *other = NULL;
	CHECK_INT(token_read_file(path, &other), -EINVAL);
	CHECK(!other);
}

TEST(token_file_of_a_rotation)
{
	struct tokens tokens = {0};
	_cleanup_close_ int fd = make_dir();
	char path[128];

	snprintf(path, sizeof(path), "%s/token", dir);
	make_file(fd, "token", 0600, "the-new-token-0001\r\n\n\tthe-old-token-0002 \n");
	CHECK_INT(tokens_read_file(path, &tokens), 0);
	CHECK_INT(tokens.n, 2);
	CHECK_STR(tokens.items[0], "the-new-token-0001");
	CHECK_STR(tokens.items[1], "the-old-token-0002");
	tokens_clear(&tokens);
	CHECK_INT(tokens.n, 0);

	make_file(fd, "token", 0600,
		  "the-new-token-0001\nthe-old-token-0002\nthe-oldest-token-03\n");
	CHECK_INT(tokens_read_file(path, &tokens), -EINVAL);
	make_file(fd, "token", 0600, "the-new-token-0001\nshort\n");
	CHECK_INT(tokens_read_file(path, &tokens), -EINVAL);
	CHECK_INT(tokens.n, 0);
}

TEST(tokens_compare_whole)
{
	CHECK(token_equal("0123456789abcdef", "0123456789abcdef"));
	CHECK(!token_equal("0123456789abcdef", "0123456789abcdeF"));
	CHECK(!token_equal("0123456789abcdef", "1123456789abcdef"));
	CHECK(!token_equal("0123456789abcdef", "0123456789abcdef0123456789abcdef"));
	CHECK(!token_equal("abab", "ab"));
	CHECK(!token_equal("ab", "abab"));
	CHECK(!token_equal("ab", ""));
	CHECK(!token_equal("ab", NULL));
	CHECK(!token_equal("", ""));
}

TEST(backoff_grows_to_the_cap)
{
	for (int i = 0; i < 1000; i++) {
		unsigned first = backoff_ms(0, 100, 5000), third = backoff_ms(2, 100, 5000);
		unsigned late = backoff_ms(31, 100, 5000),
			 later = backoff_ms(4000000000u, 100, 5000);
		CHECK(first >= 75 && first <= 125);
		CHECK(third >= 300 && third <= 500);
		CHECK(late >= 3750 && late <= 6250);
		CHECK(later >= 3750 && later <= 6250);
	}
	CHECK_INT(backoff_ms(3, 0, 100), 0);
	/* Jitter is there at all: 64 equal draws of 500 values do not happen. */
	unsigned same = 0, seen = backoff_ms(0, 1000, 1000);
	for (int i = 0; i < 64; i++)
		same += backoff_ms(0, 1000, 1000) == seen;
	CHECK(same < 64);
}

static void remove_dirs(void *base)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/a/b", (char *)base);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/a", (char *)base);
	rmdir(path);
	rmdir(base);
}

TEST(directories_are_made_for_a_file)
{
	static char base[64];
	char path[96], file[96];
	struct stat st;

	snprintf(base, sizeof(base), "/tmp/ebb-test-dirs-XXXXXX");
	CHECK(mkdtemp(base));
	test_at_end(remove_dirs, base);
	snprintf(path, sizeof(path), "%s/a/b", base);
	snprintf(file, sizeof(file), "%s/a/b/state.db", base);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(make_directory_for(file), 0);
		CHECK_INT(stat(path, &st), 0);
		CHECK_INT(st.st_mode & 0777, 0700);
	}
	CHECK(access(file, F_OK) < 0);
	CHECK_INT(make_directory_for("state.db"), 0);
	CHECK_INT(make_directory_for("/state.db"), 0);
	CHECK_INT(make_directory_for("/proc/none/x/state.db"), -ENOENT);
}

TEST(random_differs)
{
	CHECK(random_u64() != random_u64());
}

TEST(utf8)
{
	uint32_t code = 1;

	CHECK_INT(utf8_decode("a", 1, &code), 1);
	CHECK_INT(code, 'a');
	CHECK_INT(utf8_decode("\xc3\xb1", 2, &code), 2);
	CHECK_INT(code, 0xf1);
	CHECK_INT(utf8_decode("\xe2\x82\xac", 3, &code), 3);
	CHECK_INT(code, 0x20ac);
	CHECK_INT(utf8_decode("\xf4\x8f\xbf\xbf", 4, &code), 4);
	CHECK_INT(code, 0x10ffff);
	CHECK(utf8_is_valid("a\xc3\xb1z", 4));
	CHECK(utf8_is_valid("", 0));
	static const char *const bad[] = {
		"\x80",
		"\xc3",
		"\xc0\x80",
		"\xc1\xbf",
		"\xe0\x9f\xbf",
		"\xed\xa0\x80",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xff",
		"\xe2\x82",
		"\xf8\x88\x80\x80\x80",
		"\xc3(",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (utf8_is_valid(bad[i], strlen(bad[i])))
			TEST_FAIL("case %zu was taken", i);
}

TEST(text_is_cut_between_characters)
{
	CHECK_INT(utf8_fit("", 4), 0);
	CHECK_INT(utf8_fit("abcd", 4), 4);
	CHECK_INT(utf8_fit("abcde", 4), 4);
	CHECK_INT(utf8_fit("abc\xc3\xb1", 5), 5);
	CHECK_INT(utf8_fit("abc\xc3\xb1", 4), 3);
	CHECK_INT(utf8_fit("ab\xe2\x82\xac", 4), 2);
	CHECK_INT(utf8_fit("\xe2\x82\xac", 2), 0);
}

TEST(names)
{
	CHECK(name_is_sane("web-1", 64));
	CHECK(name_is_sane("caf\xc3\xa9", 64));
	CHECK(name_is_sane("12345", 5));
	CHECK(!name_is_sane("123456", 5));
	CHECK(!name_is_sane("", 5));
	CHECK(!name_is_sane(NULL, 5));
	CHECK(!name_is_sane("a\nb", 64));
	CHECK(!name_is_sane("a\x7f", 64));
	CHECK(!name_is_sane("a\xc2\x9b", 64));
	CHECK(!name_is_sane("a\xff", 64));
	/* Cut inside a character by the limit. */
	CHECK(!name_is_sane("caf\xc3\xa9", 4));
}

TEST(addresses)
{
	struct address a;

	CHECK_INT(address_parse("127.0.0.1:8000", &a), 0);
	CHECK_STR(a.host, "127.0.0.1");
	CHECK_INT(a.port, 8000);
	CHECK_STR(a.unix_path, "");
	CHECK_INT(address_parse("[fe80::1]:0", &a), 0);
	CHECK_STR(a.host, "fe80::1");
	CHECK_INT(a.port, 0);
	CHECK_INT(address_parse(":65535", &a), 0);
	CHECK_STR(a.host, "");
	CHECK_INT(address_parse("unix:/run/a:b.sock", &a), 0);
	CHECK_STR(a.unix_path, "/run/a:b.sock");
	static const char *const bad[] = {
		"",         "127.0.0.1", "127.0.0.1:", "h:65536", "h:-1",
		"h:1 ",     "::1:80",    "[::1]",      "[::1",    "[]:80",
		"[host]:1", "[::1]x:80", "unix:",      "h:0x50",  "http://h:80",
	};
	a.port = 7;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (address_parse(bad[i], &a) != -EINVAL)
			TEST_FAIL("\"%s\" was taken", bad[i]);
	CHECK_INT(a.port, 7);
	char path[200] = "unix:/";
	memset(path + 6, 'p', 106);
	CHECK_INT(address_parse(path, &a), 0);
	path[112] = 'p';
	CHECK_INT(address_parse(path, &a), -EINVAL);
}

TEST(local_addresses)
{
	CHECK(address_is_local("127.0.0.1:80"));
	CHECK(address_is_local("127.9.9.9:80"));
	CHECK(address_is_local("[::1]:80"));
	CHECK(address_is_local("[::ffff:127.0.0.1]:80"));
	CHECK(address_is_local("localhost:80"));
	CHECK(address_is_local("unix:/run/x"));
	CHECK(!address_is_local("0.0.0.0:80"));
	CHECK(!address_is_local("[::]:80"));
	CHECK(!address_is_local(":80"));
	CHECK(!address_is_local("10.0.0.1:80"));
	CHECK(!address_is_local("[::ffff:10.0.0.1]:80"));
	CHECK(!address_is_local("127.0.0.1.example.org:80"));
	CHECK(!address_is_local("nonsense"));
}

static void check_url(const char *url, const char *want)
{
	_cleanup_free_ char *shown = url_public(url), *blanked = strdup(url);
	size_t len = strlen(want);

	CHECK_STR(shown, want);
	/* In place: the same, and blanks up to its old end. */
	url_blank(blanked);
	CHECK_INT(strlen(blanked), strlen(url));
	if (strlen(url) < len) {
		CHECK(strspn(strchr(blanked + 7, ':') + 1, "*@h/") == strlen(url) - 9);
		return;
	}
	CHECK(strncmp(blanked, want, len) == 0);
	CHECK_INT(strspn(blanked + len, " "), strlen(blanked) - len);
}

TEST(urls_without_their_password)
{
	check_url("http://admin:secret@h:5984/p", "http://admin:***@h:5984/p");
	check_url("https://admin:s3c@h", "https://admin:***@h");
	check_url("http://a:b@h/", "http://a:***@h/");
	/* Not encoded as it should be. */
	check_url("http://admin:sec@ret/x@h:5984/p", "http://admin:***@h:5984/p");
	check_url("http://admin:sec:ret@h", "http://admin:***@h");
	check_url("http:/admin:secret@h", "http:***@h");
	check_url("admin:secret@h", "admin:***@h");
	check_url("http://a:first@h,http://b:second@i", "http://a:***@i");
	/* Nothing to hide. */
	check_url("http://h:5984/p", "http://h:5984/p");
	check_url("http://admin@h:5984", "http://admin@h:5984");
	check_url("http://admin:@h", "http://admin:@h");
	check_url("sqlite:/var/lib/x", "sqlite:/var/lib/x");
	check_url("", "");
	check_url("@", "@");
	check_url(":@", ":@");
}

TEST_MAIN()
