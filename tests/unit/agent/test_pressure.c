/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>

#include "pressure.h"

TEST(totals)
{
	struct pressure pressure = {7, 7};

	CHECK_INT(pressure_parse_totals("some avg10=0.00 avg60=1.50 avg300=0.27 total=1234567\n"
					"full avg10=0.00 avg60=0.00 avg300=0.00 total=89\n",
					&pressure),
		  0);
	CHECK_INT(pressure.some_us, 1234567);
	CHECK_INT(pressure.full_us, 89);
	/* cpu.pressure before Linux 5.13; without the last newline, as files are read. */
	CHECK_INT(
		pressure_parse_totals("some avg10=0.00 avg60=0.00 avg300=0.00 total=5", &pressure),
		0);
	CHECK_INT(pressure.some_us, 5);
	CHECK_INT(pressure.full_us, 0);
}

TEST(what_is_no_pressure)
{
	static const char *const broken[] = {
		"",
		"some",
		"some avg10=0.00",
		"some total=",
		"some total=x",
		"some total=123456789012345678901234567890",
		"full avg10=0.00 total=5",
		"some avg10=0.00\nfull total=5",
		"some total=5\nfull avg10=0.00",
		"something total=5",
	};
	struct pressure pressure = {7, 8};

	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
		if (pressure_parse_totals(broken[i], &pressure) != -EINVAL)
			TEST_FAIL("\"%s\" is taken", broken[i]);
	CHECK(pressure.some_us == 7 && pressure.full_us == 8);
}

TEST_MAIN()
