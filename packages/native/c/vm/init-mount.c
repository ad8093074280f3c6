// pouch-init: mounts, masks and devices within the container's root, which is init's own root here: links cannot lead out of it.
// Hidden sources are reached by changing the directory to a descriptor and naming them relative to it.
#include "init.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LINKS_MAX 40
#define PROCS_MAX 4u
#define PATHS_MAX 256u

static const struct { const char *name; unsigned long set, clear; bool propagation; } options[] = {
  { "defaults", 0, 0, false }, { "ro", MS_RDONLY, 0, false }, { "rw", 0, MS_RDONLY, false }, { "nosuid", MS_NOSUID, 0, false },
  { "suid", 0, MS_NOSUID, false }, { "nodev", MS_NODEV, 0, false }, { "dev", 0, MS_NODEV, false }, { "noexec", MS_NOEXEC, 0, false },
  { "exec", 0, MS_NOEXEC, false }, { "noatime", MS_NOATIME, 0, false }, { "atime", 0, MS_NOATIME, false }, { "nodiratime", MS_NODIRATIME, 0, false },
  { "diratime", 0, MS_NODIRATIME, false }, { "relatime", MS_RELATIME, 0, false }, { "norelatime", 0, MS_RELATIME, false },
  { "strictatime", MS_STRICTATIME, 0, false }, { "nostrictatime", 0, MS_STRICTATIME, false }, { "sync", MS_SYNCHRONOUS, 0, false },
  { "async", 0, MS_SYNCHRONOUS, false }, { "dirsync", MS_DIRSYNC, 0, false }, { "mand", MS_MANDLOCK, 0, false }, { "nomand", 0, MS_MANDLOCK, false },
  { "bind", MS_BIND, 0, false }, { "rbind", MS_BIND | MS_REC, 0, false }, { "private", MS_PRIVATE, 0, true }, { "rprivate", MS_PRIVATE | MS_REC, 0, true },
  { "slave", MS_SLAVE, 0, true }, { "rslave", MS_SLAVE | MS_REC, 0, true }, { "shared", MS_SHARED, 0, true }, { "rshared", MS_SHARED | MS_REC, 0, true },
  { "unbindable", MS_UNBINDABLE, 0, true }, { "runbindable", MS_UNBINDABLE | MS_REC, 0, true }, { "notmpcopyup", 0, 0, false }, { "copy", 0, 0, false },
  { "nocopy", 0, 0, false },
};

// What own_proc does again.
static struct { char *target; unsigned long flags; char *data; } procs[PROCS_MAX];
static size_t proc_count;
static struct { char *path; bool masked; } guarded[PATHS_MAX];
static size_t guarded_count;

int make_directories(const char *path, mode_t mode)
{
  char copy[PATH_MAX], link[PATH_MAX];
  struct stat status;
  if (strlen(path) >= sizeof copy) return refuse(ENAMETOOLONG, "mkdir %.100s…: name too long", path);
  for (int round = 0; round < LINKS_MAX; round++) {
    strcpy(copy, round == 0 ? path : link);
    char *at = copy;
    bool again = false;
    while (!again && *at != '\0') {
      at += strspn(at, "/");
      at += strcspn(at, "/");
      char end = *at;
      *at = '\0';
      if (copy[0] != '\0' && stat(copy, &status) < 0 && mkdir(copy, mode) < 0) {
        char target[PATH_MAX];
        ssize_t length = errno == EEXIST ? readlink(copy, target, sizeof target - 1) : -1;
        if (length <= 0) return fail("mkdir %s", copy);
        // A link that leads nowhere yet: its target, and then the rest of the path.
        target[length] = '\0';
        *at = end;
        char *rest = at;
        char *slash = rest;
        while (slash > copy && slash[-1] != '/') slash--;
        int parent = target[0] == '/' ? 0 : (int)(slash - copy);
        if (snprintf(link, sizeof link, "%.*s%s%s", parent, copy, target, rest) >= (int)sizeof link) return refuse(ENAMETOOLONG, "mkdir %.100s…: name too long", path);
        again = true;
        break;
      }
      *at = end;
    }
    if (!again) {
      if (stat(copy, &status) == 0 && !S_ISDIR(status.st_mode)) return refuse(ENOTDIR, "%s: not a directory", path);
      return 0;
    }
  }
  return refuse(ELOOP, "mkdir %.100s: too many links", path);
}

static int make_parent(const char *path)
{
  char parent[PATH_MAX];
  if (strlen(path) >= sizeof parent) return refuse(ENAMETOOLONG, "%.100s…: name too long", path);
  strcpy(parent, path);
  char *slash = strrchr(parent, '/');
  if (slash == NULL || slash == parent) return 0;
  *slash = '\0';
  return make_directories(parent, 0755);
}

// Something to mount on: a directory, or a file when it is a file that is mounted.
static int make_target(const char *path, bool directory)
{
  struct stat status;
  if (stat(path, &status) == 0) {
    if (S_ISDIR(status.st_mode) == directory) return 0;
    return refuse(directory ? ENOTDIR : EISDIR, "mount on %s: %s a directory", path, directory ? "not" : "is");
  }
  if (directory) return make_directories(path, 0755);
  char name[PATH_MAX], target[PATH_MAX];
  if (strlen(path) >= sizeof name) return refuse(ENAMETOOLONG, "%.100s…: name too long", path);
  strcpy(name, path);
  for (int round = 0; round < LINKS_MAX; round++) {
    if (make_parent(name) < 0) return -1;
    ssize_t length = readlink(name, target, sizeof target - 1);
    if (length <= 0) break;
    target[length] = '\0';
    size_t keep = target[0] == '/' ? 0 : (size_t)(strrchr(name, '/') - name) + 1;
    if (keep + (size_t)length >= sizeof name) return refuse(ENAMETOOLONG, "%.100s…: name too long", path);
    strcpy(name + keep, target);
  }
  int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
  if (fd < 0) return fail("create %s", name);
  close(fd);
  return 0;
}

// Flags of a bind are taken at a remount only; those the mount has stay.
static int remount_bind(const char *target, unsigned long flags)
{
  struct statvfs now;
  if (statvfs(target, &now) == 0) {
    if ((now.f_flag & ST_NOSUID) != 0) flags |= MS_NOSUID;
    if ((now.f_flag & ST_NODEV) != 0) flags |= MS_NODEV;
    if ((now.f_flag & ST_NOEXEC) != 0) flags |= MS_NOEXEC;
    if ((now.f_flag & ST_RDONLY) != 0) flags |= MS_RDONLY;
  }
  return mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | flags, NULL) < 0 ? fail("remount %s", target) : 0;
}

int bind_hidden(int directory, const char *source, const char *destination, unsigned long flags)
{
  struct stat status;
  if (fstatat(directory, source, &status, 0) < 0) return fail("mount on %s: source %s", destination, source);
  if (make_target(destination, S_ISDIR(status.st_mode)) < 0) return -1;
  if (fchdir(directory) < 0 || mount(source, destination, NULL, MS_BIND | (flags & MS_REC), NULL) < 0) return fail("mount on %s", destination);
  (void)!chdir("/");
  flags &= ~(unsigned long)(MS_BIND | MS_REC);
  return flags == 0 ? 0 : remount_bind(destination, flags);
}

struct parsed {
  unsigned long flags, propagation;
  bool copy_up;
  char data[4096];
};

static int parse_options(const char *text, struct parsed *parsed)
{
  size_t have = 0;
  memset(parsed, 0, sizeof *parsed);
  for (const char *at = text; *at != '\0';) {
    size_t length = strcspn(at, ",");
    size_t i = 0;
    while (i < COUNT(options) && (strlen(options[i].name) != length || memcmp(options[i].name, at, length) != 0)) i++;
    if (length == 9 && memcmp(at, "tmpcopyup", 9) == 0) {
      parsed->copy_up = true;
    } else if (i < COUNT(options) && options[i].propagation) {
      parsed->propagation = options[i].set;
    } else if (i < COUNT(options)) {
      parsed->flags = (parsed->flags | options[i].set) & ~options[i].clear;
    } else if (length > 0) {
      if (have + length + 2 > sizeof parsed->data) return refuse(E2BIG, "mount options too long");
      if (have > 0) parsed->data[have++] = ',';
      memcpy(parsed->data + have, at, length);
      have += length;
    }
    at += length + (at[length] == ',');
  }
  return 0;
}

static int mount_cgroup(const char *destination, unsigned long flags)
{
  if (kernel_has_filesystem("cgroup2") && mount("cgroup", destination, "cgroup2", flags, NULL) == 0) return 0;
  // An old kernel: the place is there and empty.
  return mount("cgroup", destination, "tmpfs", flags, "size=64k,mode=0755");
}

// Before 4.7 a kernel may know no instances of devpts: then there is one, and its ptmx is the machine's.
static int mount_devpts(const char *destination, unsigned long flags, const char *data)
{
  if (mount("devpts", destination, "devpts", flags, data) == 0) return 0;
  return errno == EINVAL ? mount("devpts", destination, "devpts", flags, "mode=0620,gid=5") : -1;
}

static int mount_type(const struct mount_entry *entry, unsigned long flags, const char *data)
{
  if (strcmp(entry->type, "cgroup") == 0) return mount_cgroup(entry->destination, flags);
  if (strcmp(entry->type, "devpts") == 0) return mount_devpts(entry->destination, flags, data);
  return mount(entry->source[0] != '\0' ? entry->source : entry->type, entry->destination, entry->type, flags, data);
}

static int mount_over_copy(const struct mount_entry *entry, const struct parsed *parsed, const char *data)
{
  struct stat status;
  int below = open(entry->destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC), above = -1, done = -1;
  if (below >= 0 && fstat(below, &status) == 0 && mount("tmpfs", entry->destination, "tmpfs", parsed->flags & ~(unsigned long)MS_RDONLY, data) == 0) {
    above = open(entry->destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    done = above < 0 ? -1 : copy_tree(below, above, 0);
    // Its own mode is the directory's, unless one was asked for.
    if (done == 0 && (data == NULL || strstr(data, "mode=") == NULL)) done = fchmod(above, status.st_mode & 07777);
    if (done == 0 && (parsed->flags & MS_RDONLY) != 0) done = mount(NULL, entry->destination, NULL, MS_REMOUNT | parsed->flags, data);
  }
  int code = errno;
  if (below >= 0) close(below);
  if (above >= 0) close(above);
  errno = code;
  return done;
}

static int mount_new(const struct mount_entry *entry, struct parsed *parsed)
{
  if (make_target(entry->destination, true) < 0) {
    // /sys/fs/cgroup is sysfs's to make, and an old kernel does not: nobody can miss what it never had.
    return strcmp(entry->type, "cgroup") == 0 && strncmp(entry->destination, "/sys/", 5) == 0 ? 0 : -1;
  }
  const char *data = parsed->data[0] != '\0' ? parsed->data : NULL;
  bool copied = parsed->copy_up && strcmp(entry->type, "tmpfs") == 0;
  if ((copied ? mount_over_copy(entry, parsed, data) : mount_type(entry, parsed->flags, data)) < 0) return fail("mount of %s on %s", entry->type, entry->destination);
  if (strcmp(entry->type, "devpts") == 0) {
    int fd = open(entry->destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
      close(machine.pts);
      machine.pts = fd;
    }
  }
  if (strcmp(entry->type, "proc") == 0 && proc_count < PROCS_MAX) {
    procs[proc_count].target = strdup(entry->destination);
    procs[proc_count].flags = parsed->flags;
    procs[proc_count].data = data == NULL ? NULL : strdup(data);
    if (procs[proc_count].target != NULL) proc_count++;
  }
  return 0;
}

int mount_entry(const struct mount_entry *entry)
{
  static const char *const types[] = { "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs" };
  static struct parsed parsed;
  if (entry->destination[0] != '/') return refuse(EINVAL, "mount on %s: not an absolute path", entry->destination);
  if (parse_options(entry->options, &parsed) < 0) return -1;
  const char *sub = entry->subpath + strspn(entry->subpath, "/");
  int done;
  if (strcmp(entry->type, "virtiofs") == 0) {
    int share = mount_tag(entry->source);
    if (share < 0) return -1;
    done = bind_hidden(share, sub[0] == '\0' ? "." : sub, entry->destination, parsed.flags);
  } else if (strcmp(entry->type, "bind") == 0) {
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return fail("mount on %s", entry->destination);
    const char *path = sub[0] != '\0' ? sub : entry->source + strspn(entry->source, "/");
    done = bind_hidden(root, path[0] == '\0' ? "." : path, entry->destination, parsed.flags);
    close(root);
  } else {
    size_t i = 0;
    while (i < COUNT(types) && strcmp(types[i], entry->type) != 0) i++;
    if (i == COUNT(types)) return refuse(ENOTSUP, "mount on %s: a guest has no mounts of type %s", entry->destination, entry->type);
    done = mount_new(entry, &parsed);
  }
  if (done < 0) return -1;
  if (parsed.propagation != 0 && mount(NULL, entry->destination, NULL, parsed.propagation, NULL) < 0) return fail("propagation of %s", entry->destination);
  return 0;
}

static int guard(const char *path, bool masked)
{
  struct stat status;
  if (stat(path, &status) < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : fail("%s", path);
  if (!masked) {
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0) return fail("read-only %s", path);
    return remount_bind(path, MS_RDONLY);
  }
  if (S_ISDIR(status.st_mode)) return mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0k") < 0 ? fail("mask of %s", path) : 0;
  // The container's own, made before any mask: in a new mount namespace the machine's is another namespace's and cannot be bound.
  return mount("/dev/null", path, NULL, MS_BIND, NULL) < 0 ? fail("mask of %s", path) : 0;
}

static int guard_and_note(const char *path, bool masked)
{
  if (path[0] != '/') return refuse(EINVAL, "%s: not an absolute path", path);
  if (guarded_count == PATHS_MAX) return refuse(E2BIG, "more than %u masked and read-only paths", PATHS_MAX);
  guarded[guarded_count].path = strdup(path);
  guarded[guarded_count].masked = masked;
  if (guarded[guarded_count].path == NULL) return fail("%s", path);
  guarded_count++;
  return guard(path, masked);
}

int mask_path(const char *path) { return guard_and_note(path, true); }
int protect_path(const char *path) { return guard_and_note(path, false); }

int own_proc(void)
{
  for (size_t i = 0; i < proc_count; i++) {
    size_t length = strlen(procs[i].target);
    umount2(procs[i].target, MNT_DETACH); // where it cannot be taken away it is covered
    if (mount("proc", procs[i].target, "proc", procs[i].flags, procs[i].data) < 0) return fail("mount of proc on %s", procs[i].target);
    for (size_t j = 0; j < guarded_count; j++) {
      const char *path = guarded[j].path;
      if (strncmp(path, procs[i].target, length) == 0 && path[length] == '/' && guard(path, guarded[j].masked) < 0) return -1;
    }
  }
  return 0;
}

int make_device(char type, uint32_t major, uint32_t minor, uint32_t mode, uint32_t uid, uint32_t gid, const char *path)
{
  if (type != 'c' && type != 'b') return refuse(EINVAL, "device %s: type is c or b", path);
  if (make_parent(path) < 0) return -1;
  if (mknod(path, (type == 'b' ? S_IFBLK : S_IFCHR) | (mode & 0777), makedev(major, minor)) < 0 && errno != EEXIST) return fail("mknod %s", path);
  if (chmod(path, mode & 07777) < 0 || lchown(path, uid, gid) < 0) return fail("device %s", path);
  return 0;
}

void make_default_devices(void)
{
  static const struct { const char *path; uint32_t major, minor; } nodes[] = {
    { "/dev/null", 1, 3 }, { "/dev/zero", 1, 5 }, { "/dev/full", 1, 7 }, { "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
  };
  static const struct { const char *target, *path; } links[] = {
    { "/proc/self/fd", "/dev/fd" }, { "/proc/self/fd/0", "/dev/stdin" }, { "/proc/self/fd/1", "/dev/stdout" }, { "/proc/self/fd/2", "/dev/stderr" },
    { "pts/ptmx", "/dev/ptmx" },
  };
  // Whatever an image or a mount has there stays.
  for (size_t i = 0; i < COUNT(nodes); i++) {
    struct stat status;
    if (lstat(nodes[i].path, &status) == 0) continue;
    if (make_device('c', nodes[i].major, nodes[i].minor, 0666, 0, 0, nodes[i].path) < 0) tell("pouch-init: %s", failure);
  }
  for (size_t i = 0; i < COUNT(links); i++) (void)!symlink(links[i].target, links[i].path);
}
