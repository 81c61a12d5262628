/* SPDX-License-Identifier: Apache-2.0 */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"

struct screen {
	bool live;
	bool keys; /* standard input is a terminal, in raw mode */
	int signal_fd;
	sigset_t signals, old_signals;
	struct termios old_terminal;
};

static void put(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= n;
	}
}

static void put_text(const char *text)
{
	put(text, strlen(text));
}

int screen_open(bool live, struct screen **ret_screen)
{
	struct screen *screen = calloc(1, sizeof(*screen));
	struct termios raw;

	if (!screen)
		return -ENOMEM;
	screen->live = live;
	sigemptyset(&screen->signals);
	sigaddset(&screen->signals, SIGINT);
	sigaddset(&screen->signals, SIGTERM);
	sigaddset(&screen->signals, SIGHUP);
	sigaddset(&screen->signals, SIGWINCH);
	sigprocmask(SIG_BLOCK, &screen->signals, &screen->old_signals);
	screen->signal_fd = signalfd(-1, &screen->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen->signal_fd < 0) {
		int r = -errno;

		sigprocmask(SIG_SETMASK, &screen->old_signals, NULL);
		free(screen);
		return r;
	}
	if (live) {
		screen->keys = !tcgetattr(STDIN_FILENO, &screen->old_terminal);
		if (screen->keys) {
			raw = screen->old_terminal;
			raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
			raw.c_cc[VMIN] = 0;
			raw.c_cc[VTIME] = 0;
			/* Ctrl-Z would leave the shell on the alternate screen. */
			raw.c_cc[VSUSP] = _POSIX_VDISABLE;
			tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		}
		/* Alternate screen, cursor off, no wrapping of long lines. */
		put_text("\033[?1049h\033[?25l\033[?7l\033[H\033[2J");
	}
	*ret_screen = screen;
	return 0;
}

void screen_close(struct screen *screen)
{
	if (!screen)
		return;
	if (screen->live)
		put_text("\033[?7h\033[?25h\033[?1049l");
	if (screen->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen->old_terminal);
	close(screen->signal_fd);
	sigprocmask(SIG_SETMASK, &screen->old_signals, NULL);
	free(screen);
}

void screen_size(const struct screen *screen, unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize size = {};

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*ret_columns = size.ws_col ? size.ws_col : 80;
	*ret_rows = size.ws_row ? size.ws_row : 24;
}

/* Whether one of the keys that are there means the end. */
static bool read_keys(struct screen *screen)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0) {
		/* The terminal is gone: no more keys, or poll() would spin. */
		screen->keys = false;
		return true;
	}
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 4)
			return true;
	return false;
}

enum screen_event screen_wait(struct screen *screen, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd fds[] = {
			{.fd = screen->signal_fd, .events = POLLIN},
			{.fd = screen->keys ? STDIN_FILENO : -1, .events = POLLIN},
		};
		uint64_t now = now_ns();
		int n = 0;

		if (now < deadline_ns)
			n = poll(fds, ARRAY_SIZE(fds),
				 (int)MIN((deadline_ns - now) / EBB_NS_PER_MS + 1, 3600000));
		if (n < 0 && errno != EINTR)
			return SCREEN_QUIT;
		if (n == 0 && now_ns() >= deadline_ns)
			return SCREEN_TIME;
		if (n <= 0)
			continue;
		if (fds[0].revents) {
			struct signalfd_siginfo info;

			if (read(screen->signal_fd, &info, sizeof(info)) != sizeof(info))
				continue;
			return info.ssi_signo == SIGWINCH ? SCREEN_REDRAW : SCREEN_QUIT;
		}
		if (fds[1].revents && read_keys(screen))
			return SCREEN_QUIT;
	}
}

void screen_show(struct screen *screen, const char *text, size_t len)
{
	put_text("\033[H");
	put(text, len);
	put_text("\033[J");
}
