// A container's record and the word of its monitor, read only.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "front.h"
#include "monitor.h"

#define RECORD_MAX_BYTES (16u << 20)
#define PID_MOST 0x7fffffffu

bool record_path(char into[PATH_MAX], const char *directory, const char *name)
{
	return snprintf(into, PATH_MAX, "%s/%s", directory, name) < PATH_MAX;
}

static const char *text_of(const struct json *json, const char *name)
{
	size_t at = json_member(json, 0, name);
	return at != 0 && json->values[at].kind == JSON_STRING ? json->values[at].text : NULL;
}

static bool is_filled(const struct json *json, size_t object, const char *name)
{
	size_t list = object == 0 ? 0 : json_member(json, object, name);
	return list != 0 && json->values[list].kind == JSON_ARRAY && json->values[list].next > list + 1;
}

int record_read(const struct front *front, struct record *record)
{
	char path[PATH_MAX];
	size_t length = 0;
	*record = (struct record){ .fd = -1 };
	if (!record_path(path, front->directory, "state.json")) return errno = ENAMETOOLONG, -1;
	if ((record->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", record->fd); // the same one, should it be replaced meanwhile
	uint8_t *bytes = file_read(path, RECORD_MAX_BYTES, &length);
	char *text = bytes == NULL ? NULL : realloc(bytes, length + 1); // for as long as we live: the values point into it
	if (text == NULL) return -1;
	const struct json *json = &record->json;
	bool read = json_read(&record->json, text, length) == 0 && json->values[0].kind == JSON_OBJECT;
	size_t pid = read ? json_member(json, 0, "pid") : 0, hooks = read ? json_member(json, 0, "hooks") : 0, paused = read ? json_member(json, 0, "paused") : 0;
	if (pid == 0 || paused == 0 || !json_number(&json->values[pid], PID_MOST, &record->pid)) return errno = EBADMSG, -1;
	record->pid_start = text_of(json, "pidStart");
	record->sockets = text_of(json, "sockets");
	record->arg0 = text_of(json, "arg0");
	record->cgroups = json_member(json, 0, "cgroups");
	record->paused = json->values[paused].kind == JSON_TRUE;
	record->poststart = is_filled(json, hooks, "poststart");
	record->poststop = is_filled(json, hooks, "poststop");
	bool whole = record->pid_start != NULL && record->sockets != NULL && record->sockets[0] == '/' && record->arg0 != NULL;
	whole = whole && record->cgroups != 0 && json->values[record->cgroups].kind == JSON_ARRAY;
	for (size_t at = record->cgroups + 1; whole && at < json->values[record->cgroups].next; at = json->values[at].next) whole = json->values[at].kind == JSON_STRING;
	if (whole) return 0;
	return errno = EBADMSG, -1;
}

// The 22nd word of /proc/PID/stat says when it was started; the second, the program's name, may hold anything.
bool record_lives(const struct record *record)
{
	char path[64], text[1024];
	if (record->pid == 0) return false;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)record->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0) close(fd);
	if (got <= 0) return false;
	text[got] = '\0';
	char *at = strrchr(text, ')');
	if (at == NULL || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X') return false;
	for (int word = 2; word < 22 && at != NULL; word++) at = strchr(at + 1, ' ');
	size_t length = strlen(record->pid_start);
	return at != NULL && strncmp(at + 1, record->pid_start, length) == 0 && at[1 + length] == ' ';
}

void record_status(const struct front *front, const struct record *record, char into[16])
{
	char path[PATH_MAX], text[64] = "";
	strcpy(into, "stopped");
	if (!record_lives(record)) return;
	int fd = record_path(path, front->directory, "status.json") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0) close(fd);
	text[got < 0 ? 0 : got] = '\0';
	// status_format of monitor-status.c begins with it.
	char state[16] = "";
	if (sscanf(text, "{\"state\":\"%15[a-z]\"", state) != 1 || strcmp(state, "booting") == 0) strcpy(into, "creating");
	else strcpy(into, record->paused && strcmp(state, "running") == 0 ? "paused" : state);
}

int record_connect(const struct record *record)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (snprintf(address.sun_path, sizeof address.sun_path, "%s/monitor.sock", record->sockets) >= (int)sizeof address.sun_path) return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
	if (fd >= 0) close(fd);
	return -1;
}
