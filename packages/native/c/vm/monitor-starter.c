// What `runv exec` leaves behind when it becomes the monitor of its process: going on in the background, and telling why nothing was started.
// It must not know the guest.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "monitor.h"

#define LINE_MAX_BYTES (2 * REASON_MAX + 128)

// One line as the OCI runtimes write it to --log: of its `msg` containerd's shim makes its error.
static size_t log_line(char *into, size_t size, bool json, const char *text)
{
	char escaped[2 * REASON_MAX + 1], at[32];
	time_t now = time(NULL);
	struct tm utc;
	json_text(escaped, sizeof escaped, text);
	if (gmtime_r(&now, &utc) == NULL || strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) at[0] = '\0';
	int length = json ? snprintf(into, size, "{\"level\":\"error\",\"msg\":\"%s\",\"time\":\"%s\"}\n", escaped, at)
		: snprintf(into, size, "time=\"%s\" level=error msg=\"%s\"\n", at, escaped);
	return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

void starter_tell(const struct config *config, const char *reason)
{
	char text[REASON_MAX], line[LINE_MAX_BYTES];
	text_clean(text, sizeof text, reason, strlen(reason));
	int fd = config->log == NULL ? -1 : open(config->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0) {
		// A log that cannot be written takes nothing from what stderr is told.
		ssize_t ignored = write(fd, line, log_line(line, sizeof line, config->log_json, text));
		(void)ignored;
		close(fd);
	}
	fprintf(stderr, "%s\n", text);
}

// The child's one line, or "" if it ended without.
static void answer(int fd, char *into, size_t size)
{
	size_t got = 0;
	while (got + 1 < size && memchr(into, '\n', got) == NULL) {
		ssize_t n = read(fd, into + got, size - 1 - got);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) break;
		got += (size_t)n;
	}
	into[got] = '\0';
	into[strcspn(into, "\n")] = '\0';
}

int starter_leave(struct config *config)
{
	int ends[2];
	char line[REASON_MAX + 16];
	if (pipe2(ends, O_CLOEXEC) < 0) return -1;
	pid_t child = fork();
	if (child < 0) return -1;
	if (child == 0) {
		close(ends[0]);
		setsid();
		config->ready_fd = ends[1];
		return 0;
	}
	close(ends[1]);
	answer(ends[0], line, sizeof line);
	// The child is not waited for: its end belongs to the shim that adopts it.
	if (strncmp(line, "ok ", 3) == 0) _exit(0);
	starter_tell(config, strncmp(line, "error ", 6) == 0 ? line + 6 : "the monitor of the process ended without a word");
	_exit(255);
}
