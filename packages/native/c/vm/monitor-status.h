// What the monitor tells in files and to its starter: the status file, the ready line, the pid file; and text made safe to show.
#ifndef POUCH_MONITOR_STATUS_H
#define POUCH_MONITOR_STATUS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REASON_MAX 1536

struct status {
	const char *state; // booting, created, running, stopped
	uint32_t guest_pid; // 0: none yet
	pid_t qemu_pid;    // 0: none
	int exit_code;     // -1: none yet
	bool oom_killed;
	char error[REASON_MAX]; // "": none
};

// One line of JSON without the newline; never more than `size` bytes with its NUL. Returns its length.
size_t status_format(const struct status *status, char *into, size_t size);

// Replaces FILE by rename.
int status_write(const struct status *status, const char *file);

// Writes PID and nothing else, by rename, as OCI runtimes do.
int pid_file_write(const char *file, pid_t pid);

// Writes one line to *ready_fd and closes it; a reader that has gone is no failure.
void ready_tell(int *ready_fd, const char *word, const char *text);

// Bytes of the UTF-8 sequence at `at`, 0 when it is none.
size_t utf8_length(const uint8_t *at, size_t left);

// Copies text as one line of valid UTF-8: control bytes become spaces, invalid ones '?'.
void text_clean(char *into, size_t size, const void *text, size_t length);

// Copies text that is clean as a JSON string's inside. Returns its length.
size_t json_text(char *into, size_t size, const char *text);

// The last `lines` lines of FILE that are not empty, joined by " | ", cleaned. "" when there is none.
void file_tail(const char *file, int lines, char *into, size_t size);
#endif
