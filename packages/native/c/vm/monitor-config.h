// The monitor's configuration: lines `key value`, written by runv. monitor.c's head lists the keys.
#ifndef POUCH_MONITOR_CONFIG_H
#define POUCH_MONITOR_CONFIG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUPS_MAX 32
#define SIDES_MAX 64
#define OPENINGS_MAX 64
#define OPENING_FD_MIN 20 // below are the standard streams, the tap, and what QEMU opens itself first
#define OPENING_FD_MAX 100
#define ARGUMENTS_MAX 1024 // of QEMU, and of all side processes together

struct side {
	char **arguments; // argv, NULL-terminated
	size_t count;
};

struct opening { // for QEMU, whose user may not reach the path
	int fd;
	bool writable;
	const char *path;
};

enum role { ROLE_PROCESS, ROLE_MACHINE, ROLE_KEEPER };

struct config {
	enum role role;
	uint32_t id;
	const char *socket, *control, *configure, *spawn, *console_socket, *pid_file, *netns, *tap, *link, *status, *console, *qemu_log, *log, *not_found, *keeper, *directory, *owned;
	bool tty, has_stdin, detach, log_json, transient, shared;
	const char *cgroups[CGROUPS_MAX];
	size_t cgroup_count;
	int64_t uid, gid; // -1: stay as we are
	char *qemu[ARGUMENTS_MAX + 1];
	size_t qemu_count;
	struct opening openings[OPENINGS_MAX];
	size_t opening_count;
	struct side sides[SIDES_MAX];
	size_t side_count;
	char *side_arguments[ARGUMENTS_MAX + SIDES_MAX + 1];
	uint32_t boot_timeout_ms, poweroff_timeout_ms, idle_ms, starter;
	int ready_fd; // -1: none
	int order_fd; // -1: none
};

// Reads FILE. 0, or -1 with the reason in `why`; ready_fd is set also then if its line could be read.
int config_read(struct config *config, const char *file, char *why, size_t why_size);

// Reads a whole file of at most `most` bytes. NULL with errno; EFBIG when it is longer. The caller frees.
uint8_t *file_read(const char *path, size_t most, size_t *length);
#endif
