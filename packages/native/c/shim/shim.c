/*
 * containerd-shim-pouch-v2: a shim of containerd (runtime v2) for any OCI runtime, one process per container.
 *
 *   containerd-shim-pouch-v2 -namespace N -address SOCKET -id ID [-publish-binary P] [-debug] start
 *       in the bundle, options on stdin (they come again with Create): leaves the shim behind and prints its socket's address.
 *   … -bundle B delete     the shim is gone: takes away what it left of the container, prints a DeleteResponse.
 *   … -v                   prints the version.
 *   … exec-starter         inside a container: starter.c.
 *
 * The shim forks from `start` without executing anything again. It holds the container's processes as their subreaper, knows nothing of Pouch,
 * and goes on when containerd dies: the next one finds its socket by the file `address` in the bundle.
 */
#define _GNU_SOURCE
#include "ready.h"
#include "rootfs.h"
#include "runtime.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HALF_MADE_MS 1000
#define SOCKETS "/run/containerd/s" /* where every shim has its socket; short enough for any containerd's */

struct shim shim;

void say(const char *format, ...)
{
	char text[REASON_MAX + 512];
	va_list arguments;
	int length = snprintf(text, sizeof text, "level=warning msg=\"shim %.12s: ", shim.id);
	va_start(arguments, format);
	int more = vsnprintf(text + length, sizeof text - 64 - (size_t)length, format, arguments);
	va_end(arguments);
	if (more < 0) return;
	strcat(text, "\"\n");
	/* containerd holds the other end while it lives. */
	int fd = open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) return;
	if (write(fd, text, strlen(text)) < 0) { /* nobody reads it */ }
	close(fd);
}

void give_up(const char *what)
{
	say("%s: %s", what, strerror(errno));
	if (shim.socket[0] != '\0') unlink(shim.socket);
	_exit(1);
}

static void leave(void)
{
	unlink(shim.socket);
	_exit(0);
}

void shim_end(void)
{
	events_flush(leave);
}

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

static bool copy_text(char *into, size_t size, const char *text)
{
	return (size_t)snprintf(into, size, "%s", text) < size;
}

/* The words before the verb; unknown ones are of a newer containerd. NULL: unusable. */
static const char *parse(int argc, char **argv)
{
	const char *verb = NULL, *address = getenv("TTRPC_ADDRESS");
	bool fits = true;
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + strspn(argv[i], "-");
		if (name == argv[i]) {
			verb = argv[i];
			continue;
		}
		if (strcmp(name, "debug") == 0) continue;
		if (strcmp(name, "v") == 0) return "-v";
		const char *equals = strchr(name, '=');
		const char *value = equals != NULL ? equals + 1 : i + 1 < argc ? argv[++i] : "";
		size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
		if (length == 9 && strncmp(name, "namespace", length) == 0) fits &= copy_text(shim.namespace, sizeof shim.namespace, value);
		else if (length == 2 && strncmp(name, "id", length) == 0) fits &= copy_text(shim.id, sizeof shim.id, value);
		else if (length == 7 && strncmp(name, "address", length) == 0) fits &= copy_text(shim.address, sizeof shim.address, value);
	}
	if (address != NULL && address[0] != '\0') fits &= copy_text(shim.events_address, sizeof shim.events_address, address);
	else fits &= (size_t)snprintf(shim.events_address, sizeof shim.events_address, "%s.ttrpc", shim.address) < sizeof shim.events_address;
	if (!fits || verb == NULL || shim.id[0] == '\0' || shim.namespace[0] == '\0' || strchr(shim.id, '/') != NULL || strchr(shim.namespace, '/') != NULL) return NULL;
	return verb;
}

/* An address of its own each time; the file `address` tells it to later containerds. */
static int listen_somewhere(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	unsigned char random[16];
	char name[33];
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) return -1;
	for (unsigned i = 0; i < sizeof random; i++) snprintf(name + 2 * i, 3, "%02x", random[i]);
	if ((mkdir("/run/containerd", 0711) != 0 && errno != EEXIST) || (mkdir(SOCKETS, 0711) != 0 && errno != EEXIST)) return -1;
	snprintf(shim.socket, sizeof shim.socket, SOCKETS "/%s", name);
	memcpy(address.sun_path, shim.socket, strlen(shim.socket) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	umask(0177);
	bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 16) == 0;
	umask(0022);
	return bound ? fd : -1;
}

static bool write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0) close(fd);
	return written;
}

/* As containerd's shim does: before containerd in the order of what the kernel ends for want of memory, after the containers. */
static void set_oom_score(void)
{
	char path[64], text[32] = "";
	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)getppid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return;
	ssize_t got = read(fd, text, sizeof text - 1);
	close(fd);
	int score = atoi(text) + 1;
	if (got <= 0) return;
	snprintf(text, sizeof text, "%d", score > 1000 ? 1000 : score);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0) return;
	if (write(fd, text, strlen(text)) < 0) { /* a nested machine may not let us: it stays as it is */ }
	close(fd);
}

static const int ignored[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };

void signals_reset(void)
{
	sigset_t none;
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) signal(ignored[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void be_the_shim(int listener)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	setsid();
	for (int fd = 0; fd < 3; fd++) dup2(null, fd);
	if (null > 2) close(null);
	/* It ends when containerd says so: without it nobody could tell of the container. */
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) signal(ignored[i], SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	loop_open();
	server_open(listener);
	loop_run();
}

static int start(void)
{
	char text[160];
	int listener = listen_somewhere();
	if (listener < 0) return fail(SOCKETS);
	set_oom_score();
	pid_t pid = fork();
	if (pid == 0) be_the_shim(listener);
	if (pid < 0) {
		unlink(shim.socket);
		return fail("fork");
	}
	snprintf(text, sizeof text, "%d", (int)pid);
	bool written = write_file("shim.pid", text);
	snprintf(text, sizeof text, "unix://%s", shim.socket);
	if (!written || !write_file("address", text)) {
		int code = fail("address");
		kill(pid, SIGKILL);
		unlink(shim.socket);
		return code;
	}
	fputs(text, stdout);
	return 0;
}

static void remove_socket(void)
{
	char text[160] = "";
	int fd = open("address", O_RDONLY | O_CLOEXEC);
	if (fd < 0) return;
	ssize_t got = read(fd, text, sizeof text - 1);
	close(fd);
	if (got > 7 && strncmp(text, "unix://" SOCKETS "/", sizeof "unix://" SOCKETS) == 0) unlink(text + 7);
}

/*
 * Where a create was cut short, what it made goes on by itself for a while: processes that stand in the rootfs, which is to be unmounted. They would
 * say into the container's output what they then miss.
 */
static void end_half_made(void)
{
	char rootfs[TEXT_MAX + 8], link[64], where[TEXT_MAX + 8];
	DIR *processes = access("init.pid", F_OK) == 0 ? NULL : opendir("/proc");
	snprintf(rootfs, sizeof rootfs, "%s/rootfs", shim.bundle);
	for (struct dirent *entry; processes != NULL && (entry = readdir(processes)) != NULL;) {
		int pid = atoi(entry->d_name);
		snprintf(link, sizeof link, "/proc/%d/cwd", pid);
		ssize_t length = pid <= 0 ? -1 : readlink(link, where, sizeof where - 1);
		if (length <= 0) continue;
		where[length] = '\0';
		if (strcmp(where, rootfs) != 0) continue;
		struct pollfd ended = { (int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0 };
		kill(pid, SIGKILL);
		if (ended.fd < 0) continue;
		poll(&ended, 1, HALF_MADE_MS);
		close(ended.fd);
	}
	if (processes != NULL) closedir(processes);
}

/* containerd calls it whenever a shim has gone, also after one that had done everything in order: then it is over at once. */
static int clean_up(void)
{
	struct out response = { 0 };
	struct timespec now;
	pid_t pid = 0;
	if (runtime_recall()) {
		end_half_made();
		if (runtime_has_state() && !runtime_run((const char *[]){ "delete", "--force", shim.id, NULL })) fprintf(stderr, "the OCI runtime could not delete %s\n", shim.id);
		if (!rootfs_unmount()) fprintf(stderr, "the rootfs of %s cannot be unmounted: %s\n", shim.id, strerror(errno));
	}
	remove_socket();
	runtime_read_pid("init.pid", &pid);
	clock_gettime(CLOCK_REALTIME, &now);
	out_number(&response, 1, (uint64_t)pid);
	out_number(&response, 2, 128 + SIGKILL);
	out_time(&response, 3, &now);
	fwrite(response.at, 1, response.length, stdout);
	out_free(&response);
	return fflush(stdout) == 0 ? 0 : fail("stdout");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], STARTER_VERB) == 0) return starter_main();
	const char *verb = parse(argc, argv);
	if (verb != NULL && strcmp(verb, "-v") == 0) {
		puts("containerd-shim-pouch-v2 1");
		return 0;
	}
	if (verb == NULL || getcwd(shim.bundle, sizeof shim.bundle) == NULL) {
		fputs("usage, as containerd starts it in a bundle: containerd-shim-pouch-v2 -namespace N -address SOCKET -id ID start|delete\n", stderr);
		return 2;
	}
	if (strcmp(verb, "start") == 0) return start();
	if (strcmp(verb, "delete") == 0) return clean_up();
	fprintf(stderr, "no such verb: %s\n", verb);
	return 2;
}
