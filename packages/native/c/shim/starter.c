// The ready process of a container (ready.h). It has everything that the runtime gives an exec: namespaces, control group, user, capabilities,
// seccomp, limits. It waits for an order, becomes what the order names, and leaves nothing of itself. What is in the slightest unusual it refuses:
// then the runtime itself makes the exec, with its own words where it fails.
#define _GNU_SOURCE
#include "ready.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORDS_MAX 4096u

static char text[ORDER_TEXT_MAX];
static char *arguments[WORDS_MAX + 1], *variables[WORDS_MAX + 2];

/* As Go's Setenv does it for runc: a later one replaces an earlier one of the same name, in its place. False: no "NAME=". */
static bool set_variable(unsigned *count, char *pair)
{
	size_t name = strcspn(pair, "=");
	if (name == 0 || pair[name] == '\0') return false;
	for (unsigned i = 0; i < *count; i++) {
		if (strncmp(variables[i], pair, name + 1) != 0) continue;
		variables[i] = pair;
		return true;
	}
	variables[(*count)++] = pair;
	return true;
}

static const char *variable(const char *name)
{
	size_t length = strlen(name);
	for (unsigned i = 0; variables[i] != NULL; i++)
		if (strncmp(variables[i], name, length) == 0 && variables[i][length] == '=') return variables[i] + length + 1;
	return "";
}

static bool read_order(struct order *order, int streams[3], char **directory)
{
	union { char room[CMSG_SPACE(sizeof(int[3]))]; struct cmsghdr aligned; } control;
	struct iovec parts[2] = { { order, sizeof *order }, { text, sizeof text - 1 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t got = recvmsg(STARTER_SOCKET, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = got <= 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (got <= 0) _exit(0); /* the shim wants nothing of it, or is gone */
	if (header == NULL || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int[3]))) return false;
	memcpy(streams, CMSG_DATA(header), sizeof(int[3]));
	if ((size_t)got != sizeof *order + order->length || order->arguments == 0 || order->arguments > WORDS_MAX || order->variables > WORDS_MAX) return false;
	char *at = text, *end = text + order->length;
	*directory = at;
	at += strlen(at) + 1;
	for (uint32_t i = 0; i < order->arguments && at < end; i++, at += strlen(at) + 1) arguments[i] = at;
	unsigned count = 0;
	for (uint32_t i = 0; i < order->variables && at < end; i++, at += strlen(at) + 1)
		if (!set_variable(&count, at)) return false;
	return at == end;
}

static bool is_program(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && !S_ISDIR(status.st_mode) && (status.st_mode & 0111) != 0;
}

/* By PATH of the order; only absolute directories, for the others have meanings that depend on who looks. */
static const char *locate(const char *name)
{
	static char path[PATH_MAX];
	if (strchr(name, '/') != NULL) return is_program(name) ? name : NULL;
	for (const char *at = variable("PATH"); *at != '\0';) {
		size_t length = strcspn(at, ":");
		if (at[0] != '/' || length + strlen(name) + 2 > sizeof path) return NULL;
		memcpy(path, at, length);
		path[length] = '/';
		strcpy(path + length + 1, name);
		if (is_program(path)) return path;
		at += length + (at[length] == ':');
	}
	return NULL;
}

_Noreturn static void refuse(void)
{
	char word = ORDER_FAILED;
	send(STARTER_SOCKET, &word, 1, MSG_NOSIGNAL);
	_exit(0);
}

int starter_main(void)
{
	struct order order;
	int streams[3];
	char *directory, home[PATH_MAX + 8] = "HOME=", word = ORDER_GOES;
	const char *own_home = getenv("HOME"); /* the runtime has set it by the user */
	prctl(PR_SET_NAME, "pouch-ready");
	if (!read_order(&order, streams, &directory)) refuse();
	if (variable("HOME")[0] == '\0') {
		unsigned count = 0;
		while (variables[count] != NULL) count++;
		if (own_home == NULL || strlen(own_home) > PATH_MAX) refuse();
		strcat(home, own_home);
		set_variable(&count, home);
	}
	if (chdir(directory[0] == '\0' ? "/" : directory) != 0) refuse();
	const char *path = locate(arguments[0]);
	if (path == NULL) refuse();
	fcntl(STARTER_SOCKET, F_SETFD, FD_CLOEXEC);
	fcntl(STARTER_PROGRAM, F_SETFD, FD_CLOEXEC);
	for (int i = 0; i < 3; i++)
		if (dup2(streams[i], i) != i) refuse();
	if (send(STARTER_SOCKET, &word, 1, MSG_NOSIGNAL) != 1) _exit(0);
	execve(path, arguments, variables);
	refuse();
}
