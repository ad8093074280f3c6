// Reads the configuration. It must refuse what it does not know, so that no setting is lost silently.
#define _GNU_SOURCE
#include "monitor-config.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "protocol.h"

#define FILE_MAX_BYTES (1u << 20)

enum kind { TEXT, FLAG, U32, ID, FD, ROLE, CGROUP, QEMU_ARGUMENT, OPENING, SIDE, SIDE_ARGUMENT, UNUSED };

static const struct key {
	const char *name;
	enum kind kind;
	size_t offset;
} keys[] = {
	{ "role", ROLE, 0 },
	{ "id", U32, offsetof(struct config, id) },
	{ "socket", TEXT, offsetof(struct config, socket) },
	{ "control", TEXT, offsetof(struct config, control) },
	{ "configure", TEXT, offsetof(struct config, configure) },
	{ "spawn", TEXT, offsetof(struct config, spawn) },
	{ "tty", FLAG, offsetof(struct config, tty) },
	{ "stdin", FLAG, offsetof(struct config, has_stdin) },
	{ "detach", FLAG, offsetof(struct config, detach) },
	{ "transient", FLAG, offsetof(struct config, transient) },
	{ "log", TEXT, offsetof(struct config, log) },
	{ "log-json", FLAG, offsetof(struct config, log_json) },
	{ "not-found", TEXT, offsetof(struct config, not_found) },
	{ "console-socket", TEXT, offsetof(struct config, console_socket) },
	{ "pid-file", TEXT, offsetof(struct config, pid_file) },
	{ "netns", TEXT, offsetof(struct config, netns) },
	{ "tap", TEXT, offsetof(struct config, tap) },
	{ "link", TEXT, offsetof(struct config, link) },
	{ "shared", FLAG, offsetof(struct config, shared) },
	{ "mac", UNUSED, 0 },
	{ "cgroup", CGROUP, 0 },
	{ "uid", ID, offsetof(struct config, uid) },
	{ "gid", ID, offsetof(struct config, gid) },
	{ "qemu-arg", QEMU_ARGUMENT, 0 },
	{ "open", OPENING, 0 },
	{ "keeper", TEXT, offsetof(struct config, keeper) },
	{ "directory", TEXT, offsetof(struct config, directory) },
	{ "owned", TEXT, offsetof(struct config, owned) },
	{ "idle-ms", U32, offsetof(struct config, idle_ms) },
	{ "starter", U32, offsetof(struct config, starter) },
	{ "qemu-log", TEXT, offsetof(struct config, qemu_log) },
	{ "side", SIDE, 0 },
	{ "side-arg", SIDE_ARGUMENT, 0 },
	{ "status", TEXT, offsetof(struct config, status) },
	{ "console", TEXT, offsetof(struct config, console) },
	{ "boot-timeout-ms", U32, offsetof(struct config, boot_timeout_ms) },
	{ "poweroff-timeout-ms", U32, offsetof(struct config, poweroff_timeout_ms) },
	{ "ready-fd", FD, offsetof(struct config, ready_fd) },
	{ "order-fd", FD, offsetof(struct config, order_fd) },
};

static const char *const roles[] = { [ROLE_PROCESS] = "process", [ROLE_MACHINE] = "machine", [ROLE_KEEPER] = "keeper" };

uint8_t *file_read(const char *path, size_t most, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return NULL;
	uint8_t *bytes = NULL;
	size_t capacity = 0, got = 0;
	int error = 0;
	for (;;) {
		if (got == capacity) {
			capacity = capacity == 0 ? 4096 : capacity * 2;
			uint8_t *larger = realloc(bytes, capacity);
			if (larger == NULL) {
				error = ENOMEM;
				break;
			}
			bytes = larger;
		}
		ssize_t n = read(fd, bytes + got, capacity - got);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) error = errno;
		if (n <= 0) break;
		got += (size_t)n;
		if (got > most) {
			error = EFBIG;
			break;
		}
	}
	close(fd);
	if (error != 0) {
		free(bytes);
		errno = error;
		return NULL;
	}
	*length = got;
	return bytes;
}

static int number(const char *text, uint32_t most, uint32_t *into)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > most) return -1;
	*into = (uint32_t)value;
	return 0;
}

static int add_side_argument(struct config *config, size_t *used, char *value)
{
	// One NULL stands between two sides' arguments, and one at the end.
	if (*used + 1 >= sizeof config->side_arguments / sizeof config->side_arguments[0]) return -1;
	struct side *side = &config->sides[config->side_count - 1];
	if (side->count == 0) side->arguments = &config->side_arguments[*used];
	config->side_arguments[(*used)++] = value;
	side->count++;
	return 0;
}

// "FD ro|rw PATH"
static int add_opening(struct config *config, char *value)
{
	char *mode = strchr(value, ' ');
	char *path = mode == NULL ? NULL : strchr(mode + 1, ' ');
	uint32_t fd;
	if (path == NULL || path[1] == '\0' || config->opening_count == OPENINGS_MAX) return -1;
	*mode++ = *path++ = '\0';
	bool writable = strcmp(mode, "rw") == 0;
	if (number(value, OPENING_FD_MAX, &fd) < 0 || fd < OPENING_FD_MIN || (!writable && strcmp(mode, "ro") != 0)) return -1;
	config->openings[config->opening_count++] = (struct opening){ .fd = (int)fd, .writable = writable, .path = path };
	return 0;
}

static int apply(struct config *config, const struct key *key, char *value, size_t *side_used)
{
	char *field = (char *)config + key->offset;
	uint32_t parsed = 0;
	switch (key->kind) {
	case TEXT:
		memcpy(field, &value, sizeof value);
		return value[0] == '\0' ? -1 : 0;
	case FLAG:
		if (number(value, 1, &parsed) < 0) return -1;
		*(bool *)field = parsed == 1;
		return 0;
	case U32:
		return number(value, UINT32_MAX, (uint32_t *)(void *)field);
	case ID:
		if (number(value, UINT32_MAX - 1, &parsed) < 0) return -1;
		*(int64_t *)(void *)field = parsed;
		return 0;
	case FD:
		if (number(value, 1u << 20, &parsed) < 0 || parsed < 3) return -1;
		*(int *)(void *)field = (int)parsed;
		return 0;
	case ROLE:
		for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
			if (strcmp(value, roles[i]) != 0) continue;
			config->role = (enum role)i;
			return 0;
		}
		return -1;
	case CGROUP:
		if (config->cgroup_count == CGROUPS_MAX) return -1;
		config->cgroups[config->cgroup_count++] = value;
		return 0;
	case QEMU_ARGUMENT:
		if (config->qemu_count == ARGUMENTS_MAX) return -1;
		config->qemu[config->qemu_count++] = value;
		return 0;
	case OPENING:
		return add_opening(config, value);
	case SIDE:
		if (config->side_count == SIDES_MAX) return -1;
		if (config->side_count > 0) (*side_used)++;
		config->side_count++;
		return add_side_argument(config, side_used, value);
	case SIDE_ARGUMENT:
		return config->side_count == 0 ? -1 : add_side_argument(config, side_used, value);
	case UNUSED:
		return 0;
	}
	return -1;
}

static int line(struct config *config, char *text, size_t *side_used, char *why, size_t why_size)
{
	char *value = strchr(text, ' ');
	if (value != NULL) *value++ = '\0';
	else value = text + strlen(text);
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		if (strcmp(keys[i].name, text) != 0) continue;
		if (apply(config, &keys[i], value, side_used) == 0) return 0;
		snprintf(why, why_size, "configuration: %s cannot be '%.200s'", text, value);
		return -1;
	}
	snprintf(why, why_size, "configuration: there is no key '%.100s'", text);
	return -1;
}

static const char *missing(const struct config *config)
{
	if (config->socket == NULL) return "socket";
	if (config->role == ROLE_KEEPER) return config->directory == NULL ? "directory" : config->idle_ms == 0 ? "idle-ms" : config->qemu_count == 0 ? "qemu-arg" : NULL;
	if (config->spawn == NULL) return "spawn";
	if (config->tty && config->console_socket == NULL) return "console-socket (with tty 1)";
	if (config->role == ROLE_PROCESS) return NULL;
	if (config->id != 1) return "id 1 (of a machine)";
	if (config->control == NULL) return "control";
	if (config->configure == NULL) return "configure";
	if (config->status == NULL) return "status";
	if ((config->qemu_count == 0) == (config->keeper == NULL)) return "either qemu-arg or keeper";
	// Without this the redirect would be laid over the host's own link.
	if (config->tap != NULL && config->netns == NULL) return "netns (with tap)";
	return NULL;
}

int config_read(struct config *config, const char *file, char *why, size_t why_size)
{
	*config = (struct config){ .uid = -1, .gid = -1, .ready_fd = -1, .order_fd = -1, .boot_timeout_ms = 60000, .poweroff_timeout_ms = 3000, .link = "eth0" };
	size_t length = 0, side_used = 0;
	int result = 0;
	bool has_role = false;
	char *text = (char *)file_read(file, FILE_MAX_BYTES, &length);
	if (text == NULL || length == 0 || memchr(text, '\0', length) != NULL || text[length - 1] != '\n') {
		snprintf(why, why_size, "configuration %s: %s", file, text == NULL ? strerror(errno) : "not whole lines of text");
		return -1;
	}
	// The values stay where they are: the text is never freed.
	for (char *at = text, *next; at < text + length; at = next) {
		char *end = strchr(at, '\n');
		if (end == NULL) break;
		*end = '\0';
		next = end + 1;
		if (*at == '\0') continue;
		has_role = has_role || strncmp(at, "role ", 5) == 0;
		char ignored[512];
		// The first reason is told, but later lines are read: ready-fd may be among them.
		if (line(config, at, &side_used, result == 0 ? why : ignored, result == 0 ? why_size : sizeof ignored) < 0) result = -1;
	}
	if (result < 0) return -1;
	const char *lacks = has_role ? missing(config) : "role";
	if (lacks == NULL) return 0;
	snprintf(why, why_size, "configuration: it lacks %s", lacks);
	return -1;
}
