// pouch-init: CONFIGURE. All records are read and checked first, then applied in the order of enum vm_configure, whatever theirs was.
// PREPARE is the part of it that makes the root, ahead of time. After a failure the guest is good for nothing but being asked why.
#include "init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS_MAX 2048u
#define REHEARSAL_SECONDS 5

static struct record records[RECORDS_MAX];
static size_t record_count;

static struct reader inside(const struct record *record)
{
  return (struct reader){ record->bytes, record->bytes + record->length };
}

static int read_records(const unsigned char *payload, size_t length)
{
  struct reader reader = { payload, payload + length };
  int more;
  record_count = 0;
  while (record_count < RECORDS_MAX && (more = next_record(&reader, &records[record_count])) != 0) {
    if (more < 0) return -1;
    uint16_t tag = records[record_count].tag;
    if (tag < VM_C_CLOCK || tag > VM_C_PIDS) return refuse(ENOTSUP, "CONFIGURE: unknown setting %u", tag);
    record_count++;
  }
  return record_count < RECORDS_MAX ? 0 : refuse(E2BIG, "CONFIGURE: more than %u settings", RECORDS_MAX);
}

static int apply_clock(struct reader *reader)
{
  unsigned char bytes[40];
  if (take_bytes(reader, bytes, sizeof bytes) < 0) return -1;
  set_clock(get64(bytes), bytes + 8);
  return 0;
}

static int apply_hostname(struct reader *reader)
{
  char *name = take_rest(reader);
  if (name == NULL) return -1;
  int done = sethostname(name, strlen(name)) < 0 ? fail("hostname %.80s", name) : 0;
  free(name);
  return done;
}

static int apply_domainname(struct reader *reader)
{
  char *name = take_rest(reader);
  if (name == NULL) return -1;
  int done = setdomainname(name, strlen(name)) < 0 ? fail("domain name %.80s", name) : 0;
  free(name);
  return done;
}

static int apply_mount(struct reader *reader)
{
  struct mount_entry entry = { 0 };
  char **const parts[] = { &entry.destination, &entry.type, &entry.source, &entry.options, &entry.subpath };
  int done = 0;
  for (size_t i = 0; done == 0 && i < COUNT(parts); i++) done = (*parts[i] = take_string(reader)) == NULL ? -1 : 0;
  if (done == 0) done = mount_entry(&entry);
  int code = errno;
  for (size_t i = 0; i < COUNT(parts); i++) free(*parts[i]);
  errno = code;
  return done;
}

static int lay_file(const char *path, const void *bytes, size_t length, uint32_t mode)
{
  char name[32];
  if (path[0] != '/') return refuse(EINVAL, "file %s: not an absolute path", path);
  if (save_file(bytes, length, mode, name, sizeof name) < 0) return -1;
  return bind_hidden(machine.root, name, path, 0);
}

static int apply_file(struct reader *reader)
{
  uint32_t mode;
  if (take32(reader, &mode) < 0) return -1;
  char *path = take_string(reader);
  if (path == NULL) return -1;
  int done = lay_file(path, reader->at, (size_t)(reader->end - reader->at), mode);
  free(path);
  return done;
}

static int apply_sysctl(struct reader *reader)
{
  char *name = take_string(reader), *value = name == NULL ? NULL : take_rest(reader), path[256];
  int done = -1;
  if (value != NULL) {
    snprintf(path, sizeof path, "sys/%s", name);
    // As sysctl(8) has it: dots part, and a slash stands for a dot within a name.
    for (char *at = path + 4; *at != '\0'; at++) *at = *at == '.' ? '/' : *at == '/' ? '.' : *at;
    if (strlen(name) > 200 || strstr(path + 4, "..") != NULL || path[4] == '/') done = refuse(EINVAL, "sysctl %.200s: no such name", name);
    else done = write_at(machine.proc, path, value, strlen(value)) < 0 ? fail("sysctl %s", name) : 0;
  }
  free(name);
  free(value);
  return done;
}

static int apply_link(struct reader *reader)
{
  uint32_t mtu;
  unsigned char mac[8];
  if (take32(reader, &mtu) < 0 || take_bytes(reader, mac, sizeof mac) < 0) return -1;
  char *name = take_rest(reader);
  int done = name == NULL ? -1 : setup_link(mtu, mac, name);
  free(name);
  return done;
}

static int apply_address_or_route(struct reader *reader, bool route)
{
  unsigned char head[4], first[16], second[16];
  if (take_bytes(reader, head, sizeof head) < 0) return -1;
  size_t size = head[0] == 4 ? 4 : 16;
  if ((head[0] != 4 && head[0] != 6) || head[1] > size * 8) return refuse(EINVAL, "address of family %u with prefix %u", head[0], head[1]);
  if (take_bytes(reader, first, size) < 0 || (route && take_bytes(reader, second, size) < 0)) return -1;
  char *link = take_rest(reader);
  if (link == NULL) return -1;
  int done = route ? add_route(head[0], head[1], first, second, link) : add_address(head[0], head[1], first, link);
  free(link);
  return done;
}

static int apply_address(struct reader *reader) { return apply_address_or_route(reader, false); }
static int apply_route(struct reader *reader) { return apply_address_or_route(reader, true); }

static int with_path(struct reader *reader, int (*act)(const char *))
{
  char *path = take_rest(reader);
  int done = path == NULL ? -1 : act(path);
  free(path);
  return done;
}

static int apply_masked(struct reader *reader) { return with_path(reader, mask_path); }
static int apply_protected(struct reader *reader) { return with_path(reader, protect_path); }

static int apply_device(struct reader *reader)
{
  unsigned char head[24];
  if (take_bytes(reader, head, sizeof head) < 0) return -1;
  char *path = take_rest(reader);
  if (path == NULL) return -1;
  int done = path[0] != '/' ? refuse(EINVAL, "device %s: not an absolute path", path)
                            : make_device((char)head[0], get32(head + 4), get32(head + 8), get32(head + 12), get32(head + 16), get32(head + 20), path);
  free(path);
  return done;
}

static int apply_machine_id(struct reader *reader)
{
  unsigned char id[16];
  char text[34];
  if (take_bytes(reader, id, sizeof id) < 0) return -1;
  for (size_t i = 0; i < sizeof id; i++) snprintf(text + 2 * i, 3, "%02x", id[i]);
  text[32] = '\n';
  return lay_file("/etc/machine-id", text, 33, 0444);
}

static int apply_pids(struct reader *reader)
{
  unsigned char bytes[8];
  return take_bytes(reader, bytes, sizeof bytes) < 0 ? -1 : limit_processes(get64(bytes));
}

static int apply_all(uint16_t tag, int (*apply)(struct reader *))
{
  for (size_t i = 0; i < record_count; i++) {
    struct reader reader = inside(&records[i]);
    if (records[i].tag == tag && apply(&reader) < 0) return -1;
  }
  return 0;
}

static int apply_root(void)
{
  static struct layer layers[256];
  size_t count = 0;
  char *scratch = NULL;
  for (size_t i = 0; i < record_count; i++) {
    struct reader reader = inside(&records[i]);
    unsigned char kind[4];
    if (records[i].tag == VM_C_SCRATCH) {
      free(scratch);
      if ((scratch = take_rest(&reader)) == NULL) return -1;
    }
    if (records[i].tag != VM_C_LAYER) continue;
    if (count == COUNT(layers)) return refuse(E2BIG, "more than %zu layers", COUNT(layers));
    if (take_bytes(&reader, kind, sizeof kind) < 0 || (layers[count].source = take_rest(&reader)) == NULL) return -1;
    layers[count++].kind = kind[0];
  }
  int done = assemble_root(layers, count, scratch);
  int code = errno;
  for (size_t i = 0; i < count; i++) free(layers[i].source);
  free(scratch);
  errno = code;
  return done;
}

static int enter_root(void)
{
  if (chdir("/newroot") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) return fail("change of root");
  return 0;
}

static int root_readonly(struct reader *reader)
{
  (void)reader;
  // The mount only: the disk below stays writable for the overlay's own work.
  if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0) return fail("read-only root");
  return 0;
}

static size_t count_root_records(void)
{
  size_t count = 0;
  for (size_t i = 0; i < record_count; i++) count += records[i].tag == VM_C_LAYER || records[i].tag == VM_C_SCRATCH;
  return count;
}

static int apply_settings(void);

// What will be asked later is done once, in a child whose namespaces take it along: the emulator has then translated the kernel's code for it
// and the root's directories are in memory. What fails here fails again in CONFIGURE, where it is told.
static void rehearse(void)
{
  if (!machine.namespaces) return;
  pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET, 0, 0, 0, 0);
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(REHEARSAL_SECONDS);
    (void)apply_settings();
    _exit(0);
  }
  if (pid > 0) (void)waitpid(pid, NULL, 0); // of this child alone: nobody else is reaped here
  if (release_root() == 0 && keep_root() < 0) tell("pouch-init: %s", failure);
  (void)!chdir("/");
}

int prepare_root(const unsigned char *payload, size_t length)
{
  if (machine.prepared || machine.configured || machine.configuring_failed) return refuse(EALREADY, "PREPARE: this guest was prepared or configured before");
  if (read_records(payload, length) < 0) return -1;
  machine.configuring_failed = true;
  if (apply_root() < 0 || enter_root() < 0) return -1;
  rehearse();
  machine.configuring_failed = false;
  machine.prepared = true;
  return 0;
}

static int apply_settings(void)
{
  static const struct { uint16_t tag; int (*apply)(struct reader *); } after_root[] = {
    { VM_C_HOSTNAME, apply_hostname }, { VM_C_DOMAINNAME, apply_domainname }, { VM_C_MOUNT, apply_mount }, { VM_C_FILE, apply_file },
    { VM_C_SYSCTL, apply_sysctl }, { VM_C_LINK, apply_link }, { VM_C_ADDRESS, apply_address }, { VM_C_ROUTE, apply_route }, { VM_C_PIDS, apply_pids },
  };
  static const struct { uint16_t tag; int (*apply)(struct reader *); } last[] = {
    { VM_C_DEVICE, apply_device }, { VM_C_MACHINE_ID, apply_machine_id }, { VM_C_MASKED_PATH, apply_masked }, { VM_C_READONLY_PATH, apply_protected },
    { VM_C_ROOT_READONLY, root_readonly },
  };
  if (loopback_up() < 0) tell("pouch-init: %s", failure);
  for (size_t i = 0; i < COUNT(after_root); i++) {
    if (apply_all(after_root[i].tag, after_root[i].apply) < 0) return -1;
  }
  make_default_devices();
  for (size_t i = 0; i < COUNT(last); i++) {
    if (apply_all(last[i].tag, last[i].apply) < 0) return -1;
  }
  return 0;
}

int configure(const unsigned char *payload, size_t length)
{
  if (machine.configured || machine.configuring_failed) return refuse(EALREADY, "CONFIGURE: this guest was configured before");
  if (read_records(payload, length) < 0) return -1;
  if (machine.prepared && count_root_records() > 0) return refuse(EALREADY, "CONFIGURE: this guest's root was prepared before");
  machine.configuring_failed = true;
  if (apply_all(VM_C_CLOCK, apply_clock) < 0) return -1;
  if (!machine.prepared && (apply_root() < 0 || enter_root() < 0)) return -1;
  if (apply_settings() < 0) return -1;
  machine.configured = true;
  machine.configuring_failed = false;
  return 0;
}
