// pouch-init: from the kernel's first process to an open control channel: the initramfs's own /proc, /sys and /dev, modules, devices.
// Every wait is bounded. It does not touch the container's root.
#include "init.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#define MODULES_MAX 256
#define SECCOMP_MODE_FILTER 2

struct machine machine = { .root = -1, .proc = -1, .sys = -1, .dev = -1, .pts = -1, .scratch = -1 };

static int open_directory(const char *path)
{
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void mount_own(const char *type, const char *target, unsigned long flags, const char *data)
{
  mkdir(target, 0755);
  if (mount(type, target, type, flags, data) < 0 && errno != EBUSY) tell("pouch-init: %s on %s: %s", type, target, strerror(errno));
}

static int load_module(const char *path)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  long done = syscall(SYS_finit_module, fd, "", 0);
  if (done < 0 && errno == ENOSYS) { // before 3.8
    struct stat status;
    void *image = fstat(fd, &status) == 0 ? malloc((size_t)status.st_size) : NULL;
    if (image != NULL) {
      size_t have = 0;
      ssize_t got;
      while (have < (size_t)status.st_size && (got = read(fd, (char *)image + have, (size_t)status.st_size - have)) > 0) have += (size_t)got;
      done = syscall(SYS_init_module, image, have, "");
      int code = errno;
      free(image);
      errno = code;
    }
  }
  int code = errno;
  close(fd);
  errno = code;
  return done < 0 && errno != EEXIST ? -1 : 0;
}

static int by_name(const void *left, const void *right)
{
  return strcmp(*(char *const *)left, *(char *const *)right);
}

static void load_modules(void)
{
  static char *names[MODULES_MAX];
  size_t count = 0;
  DIR *directory = opendir("/modules");
  if (directory == NULL) return; // everything is built in
  for (struct dirent *entry; count < MODULES_MAX && (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] != '.' && (names[count] = strdup(entry->d_name)) != NULL) count++;
  }
  closedir(directory);
  qsort(names, count, sizeof names[0], by_name);
  for (size_t i = 0; i < count; i++) {
    char path[512];
    snprintf(path, sizeof path, "/modules/%s", names[i]);
    if (load_module(path) < 0) tell("pouch-init: module %s: %s", names[i], strerror(errno));
    free(names[i]);
  }
}

// What processes inherit where SPAWN says nothing: as a service manager gives a container runtime, not the kernel's 1,024 and what little memory allows.
static void raise_limits(void)
{
  static const struct { int resource; rlim_t value; } limits[] = { { RLIMIT_NOFILE, 1048576 }, { RLIMIT_NPROC, RLIM_INFINITY } };
  for (size_t i = 0; i < COUNT(limits); i++) {
    struct rlimit limit = { limits[i].value, limits[i].value };
    if (setrlimit(limits[i].resource, &limit) < 0) tell("pouch-init: limit %d: %s", limits[i].resource, strerror(errno));
  }
}

void boot_machine(void)
{
  umask(0);
  mount_own("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_own("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mkdir("/dev", 0755);
  if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") < 0 && errno != EBUSY) {
    // Without devtmpfs: a place for the nodes that wait_for_device makes.
    mount_own("tmpfs", "/dev", MS_NOSUID, "mode=0755");
    mknod("/dev/console", S_IFCHR | 0600, makedev(5, 1));
    mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3));
    mknod("/dev/random", S_IFCHR | 0666, makedev(1, 8));
    mknod("/dev/urandom", S_IFCHR | 0666, makedev(1, 9));
    mknod("/dev/kmsg", S_IFCHR | 0600, makedev(1, 11));
    mknod("/dev/tty", S_IFCHR | 0666, makedev(5, 0));
  }
  int console = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (console < 0) console = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) {
    if (console >= 0 && console != fd) dup2(console, fd);
  }
  if (console > 2) close(console);
  mkdir("/dev/pts", 0755);
  if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=0620,ptmxmode=0666,gid=5") < 0) mount_own("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5");
  machine.root = open_directory("/");
  machine.proc = open_directory("/proc");
  machine.sys = open_directory("/sys");
  machine.dev = open_directory("/dev");
  machine.pts = open_directory("/dev/pts");
  raise_limits();
  load_modules();
  struct stat status;
  machine.namespaces = fstatat(machine.proc, "self/ns/pid", &status, 0) == 0 && fstatat(machine.proc, "self/ns/mnt", &status, 0) == 0;
}

bool kernel_has_filesystem(const char *type)
{
  static char list[8192];
  if (read_at(machine.proc, "filesystems", list, sizeof list) < 0) return false;
  size_t length = strlen(type);
  for (const char *at = list; (at = strstr(at, type)) != NULL; at += length) {
    if (at > list && at[-1] == '\t' && at[length] == '\n') return true;
  }
  return false;
}

static bool multiport;

uint32_t kernel_features(void)
{
  static const struct { const char *type; uint32_t bit; } types[] = {
    { "overlay", VM_FEATURE_OVERLAY }, { "erofs", VM_FEATURE_EROFS }, { "virtiofs", VM_FEATURE_VIRTIOFS },
  };
  uint32_t features = multiport ? VM_FEATURE_MULTIPORT : 0;
  for (size_t i = 0; i < COUNT(types); i++) {
    if (kernel_has_filesystem(types[i].type)) features |= types[i].bit;
  }
  // With a filter that is not there a kernel that has filters says EFAULT, another EINVAL.
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) < 0 && errno == EFAULT) features |= VM_FEATURE_SECCOMP;
  return features;
}

// The node itself, or a new one by the numbers that sysfs gives.
static bool have_device(const char *name)
{
  static const char *const places[] = { "class/block/%s/dev", "block/%s/dev", "class/tty/%s/dev", "class/virtio-ports/%s/dev" };
  struct stat status;
  if (fstatat(machine.dev, name, &status, 0) == 0) return true;
  for (size_t i = 0; i < COUNT(places); i++) {
    char path[128], text[32];
    unsigned major, minor;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path, sizeof path, places[i], name);
#pragma GCC diagnostic pop
    if (read_at(machine.sys, path, text, sizeof text) < 0 || sscanf(text, "%u:%u", &major, &minor) != 2) continue;
    return mknodat(machine.dev, name, (i < 2 ? S_IFBLK : S_IFCHR) | 0600, makedev(major, minor)) == 0;
  }
  return false;
}

int wait_for_device(const char *path)
{
  const char *name = strncmp(path, "/dev/", 5) == 0 ? path + 5 : path;
  if (name[0] == '\0' || strlen(name) > 64 || strchr(name, '/') != NULL || name[0] == '.') return refuse(EINVAL, "device %.80s: not a name in /dev", path);
  int64_t until = now_ms() + DEVICE_WAIT_MS;
  while (!have_device(name)) {
    if (now_ms() >= until) return refuse(ENXIO, "device /dev/%s did not appear within %d s", name, DEVICE_WAIT_MS / 1000);
    sleep_ms(3);
  }
  return 0;
}

// The port's device node name by the port's own name.
static bool find_port(char *name, size_t size)
{
  int fd = openat(machine.sys, "class/virtio-ports", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) {
    if (fd >= 0) close(fd);
    return false;
  }
  bool found = false;
  for (struct dirent *entry; !found && (entry = readdir(directory)) != NULL;) {
    char path[320], text[128];
    snprintf(path, sizeof path, "class/virtio-ports/%s/name", entry->d_name);
    if (entry->d_name[0] == '.' || strlen(entry->d_name) >= size || read_at(machine.sys, path, text, sizeof text) < 0) continue;
    text[strcspn(text, "\n")] = '\0';
    found = strcmp(text, VM_PORT_NAME) == 0;
    if (found) strcpy(name, entry->d_name);
  }
  closedir(directory);
  return found;
}

// The value of pouch.control=NAME on the kernel's command line, if it is a device's name.
static bool control_by_name(char *name, size_t size)
{
  char line[4096];
  if (read_at(machine.proc, "cmdline", line, sizeof line) < 0) return false;
  const char *at = strstr(line, "pouch.control=");
  if (at == NULL) return false;
  size_t length = strspn(at + 14, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
  if (length == 0 || length >= size) return false;
  memcpy(name, at + 14, length);
  name[length] = '\0';
  return true;
}

static void make_raw(int fd)
{
  struct termios mode;
  if (tcgetattr(fd, &mode) < 0) return;
  mode.c_iflag = mode.c_oflag = mode.c_lflag = 0;
  mode.c_cflag = CS8 | CREAD | CLOCAL | B115200;
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  tcsetattr(fd, TCSANOW, &mode);
  tcflush(fd, TCIOFLUSH);
}

int find_channel(enum channel_kind *kind)
{
  char name[64];
  bool named = control_by_name(name, sizeof name);
  *kind = !named ? CHANNEL_PORT : strncmp(name, "hvc", 3) == 0 ? CHANNEL_CONSOLE : CHANNEL_SERIAL;
  for (int64_t until = now_ms() + CHANNEL_WAIT_MS; now_ms() < until; sleep_ms(2)) {
    if (!named && !find_port(name, sizeof name)) continue;
    if (!have_device(name)) continue;
    int fd = openat(machine.dev, name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    if (named) make_raw(fd);
    multiport = !named;
    return fd;
  }
  tell("pouch-init: no control channel (%s): powering off", named ? name : "virtio-serial port " VM_PORT_NAME);
  power_off_now();
}
