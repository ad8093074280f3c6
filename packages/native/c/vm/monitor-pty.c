// The container's terminal on the host's side. It must keep no descriptor of the master: its end must be felt.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>
#include "monitor-stdio.h"

static int fail(char *why, size_t why_size, const char *what)
{
	snprintf(why, why_size, "terminal: %s: %s", what, strerror(errno));
	return -1;
}

// Sends the master, with the name that runc gives it.
static int send_master(int master, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return -1;
	char name[] = "/dev/ptmx";
	struct iovec data = { name, sizeof name - 1 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	memset(&control, 0, sizeof control);
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &master, sizeof master);
	int result = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && sendmsg(fd, &message, MSG_NOSIGNAL) > 0 ? 0 : -1;
	int error = errno;
	close(fd);
	errno = error;
	return result;
}

int pty_open(const char *console_socket, char *why, size_t why_size)
{
	int unlocked = 0;
	char name[64];
	unsigned int number;
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0) return fail(why, why_size, "/dev/ptmx");
	if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ioctl(master, (int)TIOCGPTN, &number) < 0) return fail(why, why_size, "unlocking");
	snprintf(name, sizeof name, "/dev/pts/%u", number);
	int slave = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (slave < 0) return fail(why, why_size, name);
	// Every byte passes as it is: the guest's own terminal has the line discipline.
	struct termios raw;
	if (tcgetattr(slave, &raw) < 0) return fail(why, why_size, "attributes");
	cfmakeraw(&raw);
	if (tcsetattr(slave, TCSANOW, &raw) < 0) return fail(why, why_size, "raw mode");
	// As the controlling terminal it tells changes of its size by SIGWINCH. A session leader already is one that may take it.
	setsid();
	if (ioctl(slave, TIOCSCTTY, 0) < 0) return fail(why, why_size, "controlling terminal");
	if (send_master(master, console_socket) < 0) return fail(why, why_size, console_socket);
	close(master);
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(slave, fd) < 0) return fail(why, why_size, "dup2");
	if (slave > 2) close(slave);
	return 0;
}

void pty_size(uint16_t *rows, uint16_t *columns)
{
	struct winsize size = { 0 };
	if (ioctl(0, TIOCGWINSZ, &size) < 0) return;
	*rows = size.ws_row;
	*columns = size.ws_col;
}
