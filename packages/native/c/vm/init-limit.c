// pouch-init: limits by cgroups of the guest's own kernel: of processes, and of memory below the machine's size. Each is made when it is first
// asked for, so that a container without one pays nothing for it; all of the container's processes are in it from then on.
#include "init.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSES_MAX 20 // processes that fork while they are moved

// What the guest's kernel holds the container to.
static struct controller {
  const char *const name, *const file, *const old_file; // its limit, by cgroup2 and by version 1
  int group;         // the container's directory of it; -1: not asked for yet
  const char *limit; // one of the files
} controllers[] = { { "memory", "memory.max", "memory.limit_in_bytes", -1, NULL }, { "pids", "pids.max", "pids.max", -1, NULL } };
enum { MEMORY, PIDS };
static int unified = -1; // cgroup2's root, once it was asked for

static int open_directory(int at, const char *path)
{
  return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// By descriptor: init's root is the container's. The mount is on a directory of the initramfs that nobody else sees.
static int open_hierarchy(const char *type, const char *data, const char *place)
{
  if (!kernel_has_filesystem(type)) return -1;
  mkdirat(machine.root, place, 0700);
  if (fchdir(machine.root) < 0 || mount("cgroup", place, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, data) < 0) return -1;
  int hierarchy = open_directory(machine.root, place);
  (void)!chdir("/");
  return hierarchy;
}

static int make_group(struct controller *controller)
{
  char text[32];
  if (controller->group >= 0) return 0;
  if (unified < 0) unified = open_hierarchy("cgroup2", NULL, "cgroup");
  int hierarchy = unified, length = snprintf(text, sizeof text, "+%s", controller->name);
  controller->limit = controller->file;
  if (unified < 0 || write_at(unified, "cgroup.subtree_control", text, (size_t)length) < 0) {
    snprintf(text, sizeof text, "cgroup-%s", controller->name);
    hierarchy = open_hierarchy("cgroup", controller->name, text);
    controller->limit = controller->old_file;
  }
  if (hierarchy < 0) return refuse(ENOTSUP, "%s: the guest's kernel has no %s cgroups", controller->name, controller->name);
  mkdirat(hierarchy, "container", 0755);
  controller->group = open_directory(hierarchy, "container");
  if (hierarchy != unified) close(hierarchy);
  return controller->group < 0 ? fail("%s: cgroup", controller->name) : 0;
}

// Whether /proc/PID/cgroup names the container's group of a controller: "N:memory:/container", or "0::/container" of cgroup2.
static bool is_inside(const struct controller *controller, const char *where)
{
  char line[48];
  if (controller->limit == controller->file && strstr(where, "0::/container\n") != NULL) return true;
  snprintf(line, sizeof line, ":%s:/container\n", controller->name);
  return strstr(where, line) != NULL;
}

// Again until nobody new is found outside: they may fork meanwhile.
static int move_processes(const struct controller *controller)
{
  static unsigned pids[8192];
  for (int pass = 0; pass < PASSES_MAX; pass++) {
    size_t moved = 0, count = container_pids(pids, COUNT(pids));
    for (size_t i = 0; i < count; i++) {
      char path[32], where[512], text[16];
      snprintf(path, sizeof path, "%u/cgroup", pids[i]);
      if (read_at(machine.proc, path, where, sizeof where) > 0 && is_inside(controller, where)) continue;
      int length = snprintf(text, sizeof text, "%u", pids[i]);
      moved += write_at(controller->group, "cgroup.procs", text, (size_t)length) == 0; // one that has ended meanwhile is no loss
    }
    if (moved == 0) return 0;
  }
  return refuse(EBUSY, "%s: processes start more quickly than they can be moved", controller->name);
}

static int limit_container(struct controller *controller, uint64_t value)
{
  char text[32];
  if (make_group(controller) < 0) return -1;
  int length = value == UINT64_MAX ? snprintf(text, sizeof text, "max") : snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  if (write_at(controller->group, controller->limit, text, (size_t)length) < 0) return fail("%s: %s", controller->name, text);
  return move_processes(controller);
}

int limit_processes(uint64_t count)
{
  return limit_container(&controllers[PIDS], count);
}

bool container_limited(void)
{
  return controllers[MEMORY].group >= 0 || controllers[PIDS].group >= 0;
}

void join_group(void)
{
  for (size_t i = 0; i < COUNT(controllers); i++) {
    if (controllers[i].group >= 0 && write_at(controllers[i].group, "cgroup.procs", "0", 1) < 0) tell("pouch-init: cgroup: %s", strerror(errno));
  }
}

static int update_shared(const struct record *record)
{
  const unsigned char *at = record->bytes;
  char link[16];
  size_t length = record->length < 17 ? 0 : record->length - 16;
  if (length == 0 || length >= sizeof link) return refuse(EPROTO, "UPDATE: setting %u of %u bytes", record->tag, record->length);
  memcpy(link, at + 16, length);
  link[length] = '\0';
  return strchr(link, '/') != NULL ? refuse(EINVAL, "%s: no name for a link", link) : share_address(at, at + 4, at + 8, get16(at + 12), get16(at + 14), link);
}

int update_machine(const unsigned char *payload, size_t length)
{
  struct reader reader = { payload, payload + length };
  struct record record;
  int more;
  while ((more = next_record(&reader, &record)) != 0) {
    if (more < 0) return -1;
    if (record.tag == VM_U_SHARED_ADDRESS) {
      if (update_shared(&record) < 0) return -1;
      continue;
    }
    if (record.tag != VM_U_MEMORY && record.tag != VM_U_PIDS) return refuse(ENOTSUP, "UPDATE: unknown setting %u", record.tag);
    if (record.length != 8) return refuse(EPROTO, "UPDATE: setting %u of %u bytes", record.tag, record.length);
    if (limit_container(&controllers[record.tag == VM_U_MEMORY ? MEMORY : PIDS], get64(record.bytes)) < 0) return -1;
  }
  return 0;
}
