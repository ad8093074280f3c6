/*
 * pouch-sys: the few system calls that Node has no words for, as a child of the agent. One request at a time, in order.
 *
 *   request   NUMBER \t VERB \t ARGUMENT … \n       each argument percent-encoded (%XX), at most 4095 bytes decoded
 *   answer    NUMBER \t 0 \n                        done
 *             NUMBER \t ERRNO \t what failed \n
 *
 *   mkfifo PATH MODE(octal)   makes a FIFO
 *   netns-add PATH            a new network namespace with lo up, kept by a bind mount on PATH
 *   netns-del PATH            takes it away; nothing there is fine
 *   umount PATH               detaches what is mounted there; nothing there is fine
 *
 * It never leaves its own namespaces, keeps no state and ends when its input does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 2
#define LINE_MAX_BYTES (3 * PATH_MAX * ARGUMENTS_MAX + 64)
#define STACKED_MOUNTS_MAX 16

/* What failed, for the answer; errno has the reason. */
static const char *failed;

static int fail(const char *what)
{
	failed = what;
	return -1;
}

static int make_fifo(char **arguments)
{
	char *end;
	unsigned long mode = strtoul(arguments[1], &end, 8);
	if (end == arguments[1] || *end != '\0' || mode > 0777) {
		errno = EINVAL;
		return fail("mode");
	}
	return mkfifo(arguments[0], (mode_t)mode) < 0 ? fail("mkfifo") : 0;
}

/* Takes every mount off PATH. */
static int detach(const char *path)
{
	for (int i = 0; i < STACKED_MOUNTS_MAX; i++)
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return errno == EINVAL || errno == ENOENT ? 0 : fail("umount");
	return 0;
}

static int unmount(char **arguments)
{
	return detach(arguments[0]);
}

/* A directory whose mounts reach the mount namespaces made from ours: without this a namespace file could be an empty file to runc. */
static int share_parent(const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t length = (size_t)(slash - path);
	if (length == 0) return 0;
	memcpy(parent, path, length);
	parent[length] = '\0';
	if (mount("", parent, "none", MS_SHARED | MS_REC, NULL) == 0) return 0;
	if (errno != EINVAL) return fail("mount --make-shared");
	/* It is no mount point yet. */
	if (mount(parent, parent, "none", MS_BIND | MS_REC, NULL) < 0) return fail("mount --bind");
	if (mount("", parent, "none", MS_SHARED | MS_REC, NULL) < 0) return fail("mount --make-shared");
	return 0;
}

/* In the forked child: the exit code is errno. */
static int enter_and_pin(const char *path)
{
	struct ifreq loopback;
	if (unshare(CLONE_NEWNET) < 0) return errno;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return errno;
	memset(&loopback, 0, sizeof loopback);
	memcpy(loopback.ifr_name, "lo", sizeof "lo");
	if (ioctl(fd, SIOCGIFFLAGS, &loopback) < 0) return errno;
	loopback.ifr_flags = (short)(loopback.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &loopback) < 0) return errno;
	if (mount("/proc/self/ns/net", path, "none", MS_BIND, NULL) < 0) return errno;
	return 0;
}

static int add_netns(char **arguments)
{
	const char *path = arguments[0];
	int status = 0;
	if (share_parent(path) < 0) return -1;
	int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0) return fail("create");
	close(fd);
	pid_t child = fork();
	if (child == 0) _exit(enter_and_pin(path));
	if (child > 0)
		while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
	if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
	int reason = child < 0 ? errno : WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	unlink(path);
	errno = reason;
	return fail("new network namespace");
}

static int delete_netns(char **arguments)
{
	if (detach(arguments[0]) < 0) return -1;
	return unlink(arguments[0]) < 0 && errno != ENOENT ? fail("unlink") : 0;
}

static const struct verb {
	const char *name;
	int arguments;
	int (*run)(char **arguments);
} verbs[] = {
	{ "mkfifo", 2, make_fifo },
	{ "netns-add", 1, add_netns },
	{ "netns-del", 1, delete_netns },
	{ "umount", 1, unmount },
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	if (c >= 'A' && c <= 'F') return c - 'A' + 10;
	return -1;
}

/* Decodes in place. False: broken encoding, an embedded NUL, or too long. */
static bool decode(char *text)
{
	char *out = text;
	for (char *in = text; *in != '\0'; in++) {
		char c = *in;
		if (c == '%') {
			int high = hex_digit(in[1]);
			int low = high < 0 ? -1 : hex_digit(in[2]);
			if (low < 0 || (high == 0 && low == 0)) return false;
			c = (char)(high * 16 + low);
			in += 2;
		}
		*out++ = c;
	}
	*out = '\0';
	return out - text < PATH_MAX;
}

static int perform(char *line)
{
	char *arguments[ARGUMENTS_MAX];
	int count = 0;
	char *verb = strsep(&line, "\t");
	for (char *field; (field = strsep(&line, "\t")) != NULL; count++) {
		errno = EINVAL;
		if (count == ARGUMENTS_MAX || !decode(field)) return fail("argument");
		arguments[count] = field;
	}
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		if (verb == NULL || strcmp(verb, verbs[i].name) != 0) continue;
		errno = EINVAL;
		if (count != verbs[i].arguments) return fail("number of arguments");
		/* Relative paths would hang on where the agent was started. */
		if (arguments[0][0] != '/') return fail("path");
		return verbs[i].run(arguments);
	}
	errno = ENOSYS;
	return fail("verb");
}

int main(void)
{
	static char line[LINE_MAX_BYTES];
	/* Ctrl-C at a terminal reaches the whole group; the agent decides when this ends. */
	signal(SIGINT, SIG_IGN);
	umask(0);
	while (fgets(line, sizeof line, stdin) != NULL) {
		size_t length = strlen(line);
		bool whole = length > 0 && line[length - 1] == '\n';
		if (whole) line[length - 1] = '\0';
		else for (int c; (c = getchar()) != EOF && c != '\n';) continue;
		char *rest = NULL;
		unsigned long number = strtoul(line, &rest, 10);
		int result;
		if (whole && rest != line && *rest == '\t') {
			result = perform(rest + 1);
		} else {
			errno = whole ? EINVAL : E2BIG;
			result = fail("request");
		}
		if (result == 0) printf("%lu\t0\n", number);
		else printf("%lu\t%d\t%s\n", number, errno, failed);
		if (fflush(stdout) != 0) return 1;
	}
	return 0;
}
