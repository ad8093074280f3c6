// pouch-init: UPDATE. A memory limit below the machine's size is a cgroup of the guest's kernel, made when it is first asked for, so that a
// container without one pays nothing for it. All of the container's processes are in it from then on.
#include "init.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSES_MAX 20 // processes that fork while they are moved

static int group = -1;          // the container's directory
static const char *limit_file;  // in it

static int open_directory(int at, const char *path)
{
  return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// By descriptor: init's root is the container's. The mount is on a directory of the initramfs that nobody else sees.
static int open_hierarchy(const char *type, const char *data)
{
  if (!kernel_has_filesystem(type)) return -1;
  mkdirat(machine.root, "cgroup", 0700);
  if (fchdir(machine.root) < 0 || mount("cgroup", "cgroup", type, MS_NOSUID | MS_NODEV | MS_NOEXEC, data) < 0) return -1;
  int hierarchy = open_directory(machine.root, "cgroup");
  (void)!chdir("/");
  return hierarchy;
}

static int make_group(void)
{
  if (group >= 0) return 0;
  int hierarchy = open_hierarchy("cgroup2", NULL);
  limit_file = "memory.max";
  if (hierarchy < 0 || write_at(hierarchy, "cgroup.subtree_control", "+memory", 7) < 0) {
    if (hierarchy >= 0) close(hierarchy);
    hierarchy = open_hierarchy("cgroup", "memory");
    limit_file = "memory.limit_in_bytes";
  }
  if (hierarchy < 0) return refuse(ENOTSUP, "UPDATE: memory: the guest's kernel has no memory cgroups");
  mkdirat(hierarchy, "container", 0755);
  group = open_directory(hierarchy, "container");
  close(hierarchy);
  return group < 0 ? fail("UPDATE: memory: cgroup") : 0;
}

static int limit_memory(uint64_t bytes)
{
  char text[32];
  static unsigned pids[8192];
  if (make_group() < 0) return -1;
  int length = snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
  if (write_at(group, limit_file, text, (size_t)length) < 0) return fail("UPDATE: memory: %s", text);
  // Again until nobody new is found outside: they may fork meanwhile.
  for (int pass = 0; pass < PASSES_MAX; pass++) {
    size_t moved = 0, count = container_pids(pids, COUNT(pids));
    for (size_t i = 0; i < count; i++) {
      char path[32], where[512];
      snprintf(path, sizeof path, "%u/cgroup", pids[i]);
      if (read_at(machine.proc, path, where, sizeof where) > 0 && strstr(where, ":/container\n") != NULL) continue;
      length = snprintf(text, sizeof text, "%u", pids[i]);
      moved += write_at(group, "cgroup.procs", text, (size_t)length) == 0; // one that has ended meanwhile is no loss
    }
    if (moved == 0) return 0;
  }
  return refuse(EBUSY, "UPDATE: memory: processes start more quickly than they can be moved");
}

void join_group(void)
{
  if (group >= 0 && write_at(group, "cgroup.procs", "0", 1) < 0) tell("pouch-init: cgroup: %s", strerror(errno));
}

int update_machine(const unsigned char *payload, size_t length)
{
  struct reader reader = { payload, payload + length };
  struct record record;
  int more;
  while ((more = next_record(&reader, &record)) != 0) {
    if (more < 0) return -1;
    if (record.tag != VM_U_MEMORY) return refuse(ENOTSUP, "UPDATE: unknown setting %u", record.tag);
    if (record.length != 8) return refuse(EPROTO, "UPDATE: memory: %u bytes", record.length);
    if (limit_memory(get64(record.bytes)) < 0) return -1;
  }
  return 0;
}
