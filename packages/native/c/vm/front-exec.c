// runv exec of what an engine says in a file (--process): this process becomes the monitor of the new one (pouch-monitor, role process), which tells what
// goes wrong from then on. --order-fd N (../order.h) makes it ready ahead of time, without what the file says to execute. The forms that a hand types, and every refusal, are Node's.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "front.h"
#include "monitor.h"

#define START_MS 30000

static int write_file(const char *path, const void *bytes, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) return -1;
	bool whole = write(fd, bytes, length) == (ssize_t)length;
	if (close(fd) == 0 && whole) return 0;
	unlink(path);
	return -1;
}

// A path that Node would make absolute, or one that would be two lines of the configuration, is not ours.
static bool is_plain(const char *path)
{
	return path == NULL || (path[0] == '/' && strchr(path, '\n') == NULL);
}

static bool is_sayable(const char *program)
{
	for (const char *at = program; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f) return false;
	return strlen(program) < 300;
}

static void put_configuration(FILE *file, const struct front *front, const struct record *record, const char *spawn, const char *program, bool detach, const char *console, const char *pid_file, const char *order_fd)
{
	char quoted[700];
	const struct json_value *values = record->json.values;
	json_text(quoted, sizeof quoted, program);
	fprintf(file, "role process\nsocket %s/monitor.sock\nspawn %s\nstdin 1\nboot-timeout-ms %d\ntransient 1\ndetach %d\n", record->sockets, spawn, START_MS, detach);
	fprintf(file, "not-found exec: \"%s\": executable file not found in $PATH\n", quoted);
	if (front->log != NULL) fprintf(file, "log %s\nlog-json %d\n", front->log, front->log_json);
	if (console != NULL) fprintf(file, "tty 1\nconsole-socket %s\n", console);
	if (pid_file != NULL) fprintf(file, "pid-file %s\n", pid_file);
	if (order_fd != NULL) fprintf(file, "order-fd %s\n", order_fd);
	for (size_t at = record->cgroups + 1; at < values[record->cgroups].next; at = values[at].next) fprintf(file, "cgroup %s/cgroup.procs\n", values[at].text);
}

// The monitor stands beside us. Returns only when it cannot be started.
static void become_monitor(const char *configuration)
{
	static char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	static const char name[] = "pouch-monitor";
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof name);
	if (length <= 0) return;
	path[length] = '\0';
	memcpy(strrchr(path, '/') + 1, name, sizeof name);
	static char flag[] = "--config";
	execve(path, (char *[]){ path, flag, (char *)(uintptr_t)configuration, NULL }, environment);
}

int front_exec(struct front *front, char **words)
{
	const char *detach = NULL, *file = NULL, *pid_file = NULL, *console = NULL, *order_fd = NULL;
	const struct option options[] = {
		{ "detach", "d", true, &detach }, { "process", "p", false, &file }, { "pid-file", NULL, false, &pid_file }, { "console-socket", NULL, false, &console }, { "order-fd", NULL, false, &order_fd }, { NULL, NULL, false, NULL },
	};
	struct record record;
	struct process_words process;
	char status[16], spawn[PATH_MAX], path[PATH_MAX], *text = NULL;
	size_t length = 0, text_length = 0;
	if (!front_options(front, words, options) || file == NULL || !is_plain(file) || !is_plain(pid_file) || !is_plain(console) || !is_plain(front->log)) return HAND_OVER;
	if (record_read(front, &record) < 0) return HAND_OVER;
	record_status(front, &record, status);
	if (strcmp(status, "running") != 0) return HAND_OVER;
	uint8_t *payload = process_payload(file, &length, &process);
	if (order_fd != NULL && (strspn(order_fd, "0123456789") != strlen(order_fd) || order_fd[0] == '\0')) return HAND_OVER;
	if (payload == NULL || process.terminal != (console != NULL) || !is_sayable(process.program)) return HAND_OVER;
	int named = snprintf(path, sizeof path, "%s/exec-%d.conf", front->directory, (int)getpid());
	if (named >= (int)sizeof path || snprintf(spawn, sizeof spawn, "%s/exec-%d.bin", front->directory, (int)getpid()) >= (int)sizeof spawn) return HAND_OVER;
	FILE *memory = open_memstream(&text, &text_length);
	if (memory == NULL) return HAND_OVER;
	put_configuration(memory, front, &record, spawn, process.program, detach != NULL, console, pid_file, order_fd);
	if (fclose(memory) != 0 || write_file(spawn, payload, length) < 0) return HAND_OVER;
	if (write_file(path, text, text_length) == 0) become_monitor(path);
	int error = errno;
	unlink(spawn);
	unlink(path);
	return front_tell(front, "the monitor of the process cannot be started: %s", strerror(error));
}
