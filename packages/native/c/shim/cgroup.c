// Reads what a control group uses, versions 1 and 2, and watches it for want of memory. It changes nothing of it.
#define _GNU_SOURCE
#include "rootfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"
#define CGROUP2_MAGIC 0x63677270
#define FILE_MAX 65536
#define USER_TICK_NS 10000000ull /* USER_HZ is 100 on every architecture that we run on */

static bool version_2(void)
{
	struct statfs status;
	return statfs(ROOT, &status) == 0 && status.f_type == CGROUP2_MAGIC;
}

/* The directory of a process's group: of the version-1 controller, or, with NULL, of version 2. */
static bool directory_of(pid_t pid, const char *controller, char into[PATH_MAX])
{
	char path[64], line[PATH_MAX];
	bool found = false;
	snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
	FILE *file = pid > 0 ? fopen(path, "re") : NULL;
	while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
		char *names = strchr(line, ':'), *group = names == NULL ? NULL : strchr(++names, ':');
		if (group == NULL) continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (controller == NULL) found = names[0] == '\0' && snprintf(into, PATH_MAX, ROOT "%s", group) < PATH_MAX;
		else {
			for (char *rest = names, *name; (name = strsep(&rest, ",")) != NULL && !found;)
				found = strcmp(name, controller) == 0 && snprintf(into, PATH_MAX, ROOT "/%s%s", controller, group) < PATH_MAX;
		}
	}
	if (file != NULL) fclose(file);
	return found;
}

/* The text of a file of a group; "" where there is none. */
static const char *text_of(const char *directory, const char *name)
{
	static char text[FILE_MAX];
	char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	if (fd >= 0) close(fd);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static uint64_t number_in(const char *directory, const char *name)
{
	const char *text = text_of(directory, name);
	return strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

/* The value of a "name value" line. */
static uint64_t keyed(const char *text, const char *name)
{
	size_t length = strlen(name);
	for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n'), line = line == NULL ? NULL : line + 1)
		if (strncmp(line, name, length) == 0 && line[length] == ' ') return strtoull(line + length + 1, NULL, 10);
	return 0;
}

/* Names of a "name value" file as fields of a message, by their place in the list; NULL: none. */
static void keyed_fields(struct out *out, const char *text, const char *const names[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (names[i] != NULL) out_number(out, i + 1, keyed(text, names[i]));
}

static void version_1_blkio(struct out *blkio, unsigned field, const char *directory, const char *name)
{
	const char *line = text_of(directory, name);
	unsigned major, minor;
	unsigned long long value;
	char op[32];
	for (; line != NULL && *line != '\0'; line = strchr(line, '\n'), line = line == NULL ? NULL : line + 1) {
		struct out entry = { 0 };
		if (sscanf(line, "%u:%u %31s %llu", &major, &minor, op, &value) != 4) continue;
		out_text(&entry, 1, op);
		out_number(&entry, 3, major);
		out_number(&entry, 4, minor);
		out_number(&entry, 5, value);
		out_message(blkio, field, &entry);
	}
}

static bool version_1(pid_t pid, struct out *metrics)
{
	static const char *const memory_names[] = {
		"cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout", "pgfault", "pgmajfault", "inactive_anon", "active_anon", "inactive_file",
		"active_file", "unevictable", "hierarchical_memory_limit", "hierarchical_memsw_limit", "total_cache", "total_rss", "total_rss_huge", "total_mapped_file", "total_dirty",
		"total_writeback", "total_pgpgin", "total_pgpgout", "total_pgfault", "total_pgmajfault", "total_inactive_anon", "total_active_anon", "total_inactive_file",
		"total_active_file", "total_unevictable",
	};
	static const struct { unsigned field; const char *throttle, *plain; } blkio_files[] = {
		{ 1, "blkio.throttle.io_service_bytes_recursive", "blkio.bfq.io_service_bytes_recursive" }, { 2, "blkio.throttle.io_serviced_recursive", "blkio.bfq.io_serviced_recursive" },
		{ 3, NULL, "blkio.bfq.io_queued_recursive" }, { 4, NULL, "blkio.bfq.io_service_time_recursive" }, { 5, NULL, "blkio.bfq.io_wait_time_recursive" },
		{ 6, NULL, "blkio.bfq.io_merged_recursive" }, { 7, NULL, "blkio.bfq.io_time_recursive" }, { 8, NULL, "blkio.bfq.sectors_recursive" },
	};
	char directory[PATH_MAX];
	bool any = false;
	if (directory_of(pid, "pids", directory)) {
		struct out pids = { 0 };
		uint64_t limit = number_in(directory, "pids.max");
		out_number(&pids, 1, number_in(directory, "pids.current"));
		out_number(&pids, 2, limit == UINT64_MAX ? 0 : limit);
		out_message(metrics, 2, &pids);
		any = true;
	}
	struct out cpu = { 0 }, usage = { 0 }, throttling = { 0 };
	if (directory_of(pid, "cpuacct", directory)) {
		out_number(&usage, 1, number_in(directory, "cpuacct.usage"));
		const char *text = text_of(directory, "cpuacct.stat");
		uint64_t user = keyed(text, "user"), system = keyed(text, "system");
		out_number(&usage, 2, system * USER_TICK_NS);
		out_number(&usage, 3, user * USER_TICK_NS);
		struct out packed = { 0 };
		char *end;
		for (const char *at = text_of(directory, "cpuacct.usage_percpu");; at = end) {
			unsigned long long value = strtoull(at, &end, 10);
			if (end == at) break;
			do {
				uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
				out_raw(&packed, &byte, 1);
				value >>= 7;
			} while (value != 0);
		}
		out_message(&usage, 4, &packed);
		any = true;
	}
	out_message(&cpu, 1, &usage);
	if (directory_of(pid, "cpu", directory)) {
		const char *text = text_of(directory, "cpu.stat");
		static const char *const names[] = { "nr_periods", "nr_throttled", "throttled_time" };
		keyed_fields(&throttling, text, names, 3);
		out_message(&cpu, 2, &throttling);
	}
	out_message(metrics, 3, &cpu);
	if (directory_of(pid, "memory", directory)) {
		struct out memory = { 0 }, entry = { 0 };
		keyed_fields(&memory, text_of(directory, "memory.stat"), memory_names, sizeof memory_names / sizeof memory_names[0]);
		out_number(&entry, 1, number_in(directory, "memory.limit_in_bytes"));
		out_number(&entry, 2, number_in(directory, "memory.usage_in_bytes"));
		out_number(&entry, 3, number_in(directory, "memory.max_usage_in_bytes"));
		out_number(&entry, 4, number_in(directory, "memory.failcnt"));
		out_message(&memory, 33, &entry);
		out_message(metrics, 4, &memory);
		any = true;
	}
	if (directory_of(pid, "blkio", directory)) {
		struct out blkio = { 0 };
		for (size_t i = 0; i < sizeof blkio_files / sizeof blkio_files[0]; i++) {
			size_t before = blkio.length;
			version_1_blkio(&blkio, blkio_files[i].field, directory, blkio_files[i].plain);
			if (blkio.length == before && blkio_files[i].throttle != NULL) version_1_blkio(&blkio, blkio_files[i].field, directory, blkio_files[i].throttle);
		}
		out_message(metrics, 5, &blkio);
	}
	return any;
}

static bool version_2_figures(pid_t pid, struct out *metrics)
{
	static const char *const cpu_names[] = { "usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec" };
	static const char *const memory_names[] = {
		"anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback", "anon_thp", "inactive_anon", "active_anon", "inactive_file",
		"active_file", "unevictable", "slab_reclaimable", "slab_unreclaimable", "pgfault", "pgmajfault",
	};
	char directory[PATH_MAX];
	if (!directory_of(pid, NULL, directory)) return false;
	struct out pids = { 0 }, cpu = { 0 }, memory = { 0 }, io = { 0 };
	out_number(&pids, 1, number_in(directory, "pids.current"));
	out_number(&pids, 2, number_in(directory, "pids.max"));
	out_message(metrics, 1, &pids);
	keyed_fields(&cpu, text_of(directory, "cpu.stat"), cpu_names, sizeof cpu_names / sizeof cpu_names[0]);
	out_message(metrics, 2, &cpu);
	keyed_fields(&memory, text_of(directory, "memory.stat"), memory_names, sizeof memory_names / sizeof memory_names[0]);
	out_number(&memory, 32, number_in(directory, "memory.current"));
	out_number(&memory, 33, number_in(directory, "memory.max"));
	out_message(metrics, 4, &memory);
	for (const char *line = text_of(directory, "io.stat"); line != NULL && *line != '\0'; line = strchr(line, '\n'), line = line == NULL ? NULL : line + 1) {
		unsigned long long major, minor, values[4] = { 0 };
		static const char *const names[] = { "rbytes=", "wbytes=", "rios=", "wios=" };
		if (sscanf(line, "%llu:%llu", &major, &minor) != 2) continue;
		struct out entry = { 0 };
		out_number(&entry, 1, major);
		out_number(&entry, 2, minor);
		size_t length = strcspn(line, "\n");
		for (unsigned i = 0; i < 4; i++) {
			const char *at = memmem(line, length, names[i], strlen(names[i]));
			if (at != NULL) values[i] = strtoull(at + strlen(names[i]), NULL, 10);
			out_number(&entry, 3 + i, values[i]);
		}
		out_message(&io, 1, &entry);
	}
	out_message(metrics, 6, &io);
	return true;
}

bool cgroup_figures(pid_t pid, struct out *into, unsigned field)
{
	struct out metrics = { 0 };
	bool second = version_2();
	bool known = second ? version_2_figures(pid, &metrics) : version_1(pid, &metrics);
	out_any(into, field, second ? "io.containerd.cgroups.v2.Metrics" : "io.containerd.cgroups.v1.Metrics", &metrics);
	return known;
}

bool cgroup_has_room(pid_t pid, uint64_t bytes)
{
	char directory[PATH_MAX];
	bool second = version_2();
	const char *limit_file = second ? "memory.max" : "memory.limit_in_bytes", *usage_file = second ? "memory.current" : "memory.usage_in_bytes";
	if (directory_of(pid, second ? NULL : "pids", directory) && number_in(directory, "pids.max") != UINT64_MAX && text_of(directory, "pids.max")[0] != '\0') return false;
	if (!directory_of(pid, second ? NULL : "memory", directory) || text_of(directory, limit_file)[0] == '\0') return true;
	uint64_t limit = number_in(directory, limit_file), usage = number_in(directory, usage_file);
	return limit >= usage && limit - usage >= bytes;
}

static struct watch memory = { .fd = -1 };
static char memory_group[PATH_MAX];
static uint64_t kills;

static void out_of_memory(struct watch *watch, uint32_t events)
{
	char told[4096];
	struct out event = { 0 };
	(void)events;
	if (read(watch->fd, told, sizeof told) <= 0) return;
	if (access(memory_group, F_OK) != 0) { /* the group's own end is told in the same way */
		oom_forget();
		return;
	}
	if (version_2()) {
		uint64_t now = keyed(text_of(memory_group, "memory.events"), "oom_kill");
		if (now <= kills) return;
		kills = now;
	}
	out_text(&event, 1, shim.id);
	event_tell("/tasks/oom", "TaskOOM", &event);
}

void oom_watch(pid_t pid)
{
	char path[PATH_MAX + 64], order[64];
	if (memory.fd >= 0 || !directory_of(pid, version_2() ? NULL : "memory", memory_group)) return;
	memory.ready = out_of_memory;
	if (version_2()) {
		snprintf(path, sizeof path, "%s/memory.events", memory_group);
		memory.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (memory.fd >= 0 && inotify_add_watch(memory.fd, path, IN_MODIFY) >= 0 && loop_watch(&memory, EPOLLIN)) return;
	} else {
		snprintf(path, sizeof path, "%s/memory.oom_control", memory_group);
		int control = open(path, O_RDONLY | O_CLOEXEC);
		snprintf(path, sizeof path, "%s/cgroup.event_control", memory_group);
		int orders = open(path, O_WRONLY | O_CLOEXEC);
		memory.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		int length = snprintf(order, sizeof order, "%d %d", memory.fd, control);
		bool ordered = control >= 0 && orders >= 0 && memory.fd >= 0 && write(orders, order, (size_t)length) == length;
		if (orders >= 0) close(orders);
		if (control >= 0) close(control);
		if (ordered && loop_watch(&memory, EPOLLIN)) return;
	}
	oom_forget(); /* a group without a memory controller tells nothing */
}

void oom_forget(void)
{
	if (memory.fd < 0) return;
	loop_forget(&memory);
	close(memory.fd);
	memory.fd = -1;
}
