// Files and lines the monitor leaves for others. It must not decide anything.
#define _GNU_SOURCE
#include "monitor-status.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_BYTES 4096

size_t utf8_length(const uint8_t *at, size_t left)
{
	size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
	if (length == 0 || length > left) return 0;
	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80) return 0;
	if (at[0] == 0xe0 && at[1] < 0xa0) return 0; // overlong
	if (at[0] == 0xed && at[1] > 0x9f) return 0; // surrogates
	if (at[0] == 0xf0 && at[1] < 0x90) return 0;
	if (at[0] == 0xf4 && at[1] > 0x8f) return 0;
	return length;
}

void text_clean(char *into, size_t size, const void *text, size_t length)
{
	const uint8_t *from = text;
	size_t out = 0;
	for (size_t i = 0; i < length;) {
		size_t bytes = utf8_length(from + i, length - i);
		if (out + (bytes == 0 ? 1 : bytes) >= size) break;
		if (bytes == 0) into[out++] = '?';
		else if (bytes == 1) into[out++] = from[i] < ' ' || from[i] == 0x7f ? ' ' : (char)from[i];
		else {
			memcpy(into + out, from + i, bytes);
			out += bytes;
		}
		i += bytes == 0 ? 1 : bytes;
	}
	while (out > 0 && into[out - 1] == ' ') out--;
	into[out] = '\0';
}

size_t json_text(char *into, size_t size, const char *text)
{
	size_t out = 0;
	for (; *text != '\0' && out + 2 < size; text++) {
		if (*text == '"' || *text == '\\') into[out++] = '\\';
		into[out++] = *text;
	}
	into[out] = '\0';
	return out;
}

size_t status_format(const struct status *status, char *into, size_t size)
{
	char error[2 * REASON_MAX + 1], safe[REASON_MAX];
	size_t at = (size_t)snprintf(into, size, "{\"state\":\"%s\"", status->state);
	if (status->qemu_pid > 0) at += (size_t)snprintf(into + at, size - at, ",\"qemuPid\":%d", (int)status->qemu_pid);
	if (status->guest_pid > 0) at += (size_t)snprintf(into + at, size - at, ",\"guestPid\":%u", status->guest_pid);
	if (status->exit_code >= 0) at += (size_t)snprintf(into + at, size - at, ",\"exitCode\":%d", status->exit_code);
	if (status->oom_killed) at += (size_t)snprintf(into + at, size - at, ",\"oomKilled\":true");
	if (status->error[0] != '\0') {
		text_clean(safe, sizeof safe, status->error, strlen(status->error));
		json_text(error, sizeof error, safe);
		at += (size_t)snprintf(into + at, size - at, ",\"error\":\"%s\"", error);
	}
	at += (size_t)snprintf(into + at, size - at, "}");
	return at;
}

static int replace(const char *file, const char *text, size_t length)
{
	char temporary[PATH_MAX];
	if (snprintf(temporary, sizeof temporary, "%s.new", file) >= (int)sizeof temporary) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0) return -1;
	ssize_t written = write(fd, text, length);
	if (close(fd) == 0 && written == (ssize_t)length && rename(temporary, file) == 0) return 0;
	int error = errno;
	unlink(temporary);
	errno = error;
	return -1;
}

int status_write(const struct status *status, const char *file)
{
	char text[2 * REASON_MAX + 256];
	size_t length = status_format(status, text, sizeof text - 1);
	text[length++] = '\n';
	return replace(file, text, length);
}

int pid_file_write(const char *file, pid_t pid)
{
	char text[16];
	return replace(file, text, (size_t)snprintf(text, sizeof text, "%d", (int)pid));
}

void ready_tell(int *ready_fd, const char *word, const char *text)
{
	char line[REASON_MAX + 16], safe[REASON_MAX];
	if (*ready_fd < 0) return;
	text_clean(safe, sizeof safe, text, strlen(text));
	size_t length = (size_t)snprintf(line, sizeof line, "%s %s\n", word, safe);
	// A starter that has gone needs no answer; the line is shorter than PIPE_BUF, so it is written whole.
	ssize_t ignored = write(*ready_fd, line, length);
	(void)ignored;
	close(*ready_fd);
	*ready_fd = -1;
}

void file_tail(const char *file, int lines, char *into, size_t size)
{
	char bytes[TAIL_BYTES];
	into[0] = '\0';
	// QEMU's user may own the file: neither a link nor a FIFO put there may lead or hold us.
	int fd = file == NULL ? -1 : open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) return;
	struct stat about;
	ssize_t got = -1;
	if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
		got = pread(fd, bytes, sizeof bytes, about.st_size > (off_t)sizeof bytes ? about.st_size - (off_t)sizeof bytes : 0);
	close(fd);
	size_t end = got > 0 ? (size_t)got : 0, start = end;
	while (end > 0 && (uint8_t)bytes[end - 1] <= ' ') end--;
	for (start = end; start > 0 && end - start < size / 2; start--)
		if (bytes[start - 1] == '\n' && --lines <= 0) break;
	char cleaned[TAIL_BYTES];
	size_t out = 0;
	for (size_t i = start; i < end && out + 4 < sizeof cleaned; i++) {
		if (bytes[i] == '\r') continue;
		if (bytes[i] == 0x1b) { // a terminal's control sequence: up to its letter
			while (i + 1 < end && !((bytes[i] >= 'A' && bytes[i] <= 'Z') || (bytes[i] >= 'a' && bytes[i] <= 'z'))) i++;
			continue;
		}
		if (bytes[i] != '\n') cleaned[out++] = bytes[i];
		else {
			memcpy(cleaned + out, " | ", 3);
			out += 3;
		}
	}
	text_clean(into, size, cleaned, out);
}
