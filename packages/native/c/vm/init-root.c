// pouch-init: the container's root out of its layers, and changing into it. An initramfs cannot be pivoted away, so the new root is moved
// over "/" and init changes its root; what is hidden below (layers, scratch, shares, files) is reached by descriptors only.
#include "init.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LAYERS_MAX 200u // the overlay's options are one page
#define TAGS_MAX 64u
#define NEW_ROOT "/newroot"

enum { LAYER_EROFS, LAYER_EXT4, LAYER_VIRTIOFS };

static struct {
  char *tag;
  int fd;
} tags[TAGS_MAX];
static size_t tag_count;
static unsigned files;

static const char *release(void)
{
  static struct utsname name;
  return uname(&name) == 0 ? name.release : "?";
}

static int mount_disk(const char *device, const char *const *types, const char *target, unsigned long flags)
{
  char path[96];
  if (wait_for_device(device) < 0) return -1;
  snprintf(path, sizeof path, "/dev/%s", strncmp(device, "/dev/", 5) == 0 ? device + 5 : device);
  for (const char *const *type = types; *type != NULL; type++) {
    if (!kernel_has_filesystem(*type)) {
      if (type[1] == NULL) return refuse(ENOTSUP, "%s: kernel %s has no %s", path, release(), types[0]);
      continue;
    }
    if (mount(path, target, *type, flags, NULL) == 0) return 0;
    if (type[1] == NULL || errno != EINVAL) return fail("mount of %s (%s)", path, *type);
  }
  return -1;
}

static int mount_share(const char *tag, const char *target, unsigned long flags)
{
  if (!kernel_has_filesystem("virtiofs")) return refuse(ENOTSUP, "virtiofs %s: kernel %s has no virtiofs", tag, release());
  int64_t until = now_ms() + DEVICE_WAIT_MS;
  while (mount(tag, target, "virtiofs", flags, NULL) < 0) {
    // The device appears when its driver has found it.
    if ((errno != EINVAL && errno != ENOENT && errno != ENODEV) || now_ms() >= until) return fail("mount of virtiofs %s", tag);
    sleep_ms(5);
  }
  return 0;
}

static int mount_layer(const struct layer *layer, const char *target, bool readonly)
{
  static const char *const erofs[] = { "erofs", NULL };
  static const char *const ext[] = { "ext4", "ext3", "ext2", NULL };
  mkdir(target, 0755);
  unsigned long flags = readonly ? MS_RDONLY : 0;
  switch (layer->kind) {
  case LAYER_EROFS: return mount_disk(layer->source, erofs, target, MS_RDONLY);
  case LAYER_EXT4: return mount_disk(layer->source, ext, target, flags);
  case LAYER_VIRTIOFS: return mount_share(layer->source, target, flags);
  default: return refuse(ENOTSUP, "layer of unknown kind %u", layer->kind);
  }
}

static int make_overlay(const struct layer *layers, size_t count, const char *scratch)
{
  static const char *const ext[] = { "ext4", NULL };
  static char options[4096];
  if (!kernel_has_filesystem("overlay")) return refuse(ENOTSUP, "overlay of %zu layers: kernel %s has no overlay", count, release());
  if (count > LAYERS_MAX) return refuse(E2BIG, "%zu layers: at most %u", count, LAYERS_MAX);
  mkdir("/scratch", 0700);
  if (scratch == NULL) {
    if (mount("tmpfs", "/scratch", "tmpfs", 0, "mode=0700") < 0) return fail("tmpfs for what the container writes");
  } else if (mount_disk(scratch, ext, "/scratch", 0) < 0) {
    return -1;
  }
  machine.scratch = open("/scratch", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (mkdir("/scratch/upper", 0755) < 0 && errno != EEXIST) return fail("scratch: mkdir upper");
  if (mkdir("/scratch/work", 0755) < 0 && errno != EEXIST) return fail("scratch: mkdir work");
  int length = snprintf(options, sizeof options, "upperdir=/scratch/upper,workdir=/scratch/work,lowerdir=");
  for (size_t i = count; i-- > 0;) {
    char target[32];
    snprintf(target, sizeof target, "/l/%zu", i);
    if (mount_layer(&layers[i], target, true) < 0) return -1;
    length += snprintf(options + length, sizeof options - (size_t)length, "%s%s", target, i > 0 ? ":" : "");
    if ((size_t)length >= sizeof options) return refuse(E2BIG, "%zu layers: too many", count);
  }
  if (mount("overlay", NEW_ROOT, "overlay", 0, options) < 0) return fail("overlay of %zu layers", count);
  return 0;
}

int assemble_root(const struct layer *layers, size_t count, const char *scratch)
{
  mkdir(NEW_ROOT, 0755);
  mkdir("/l", 0700);
  if (count == 0) {
    // The bare machine: the root travels in the initramfs.
    if (scratch != NULL) return refuse(EINVAL, "a scratch disk without a layer");
    if (mount("/rootfs", NEW_ROOT, NULL, MS_BIND | MS_REC, NULL) < 0) return fail("no layer, and no /rootfs in the initramfs");
  } else if (count == 1 && scratch == NULL && layers[0].kind != LAYER_EROFS) {
    if (mount_layer(&layers[0], NEW_ROOT, false) < 0) return -1;
    if (layers[0].kind == LAYER_EXT4) machine.scratch = open(NEW_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } else if (make_overlay(layers, count, scratch) < 0) {
    return -1;
  }
  return 0;
}

// Mounted for reading and writing: each use is a bind of its own with its own flags.
int mount_tag(const char *tag)
{
  for (size_t i = 0; i < tag_count; i++) {
    if (strcmp(tags[i].tag, tag) == 0) return tags[i].fd;
  }
  if (tag_count == TAGS_MAX) return refuse(E2BIG, "virtiofs %s: at most %u shares", tag, TAGS_MAX);
  char target[32];
  mkdir("/v", 0700);
  snprintf(target, sizeof target, "/v/%zu", tag_count);
  mkdir(target, 0755);
  if (mount_share(tag, target, 0) < 0) return -1;
  int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail("virtiofs %s", tag);
  tags[tag_count].tag = strdup(tag);
  tags[tag_count].fd = fd;
  return tags[tag_count].tag == NULL ? fail("virtiofs %s", tag) : tags[tag_count++].fd;
}

void close_hidden(void)
{
  const int own[] = { machine.root, machine.proc, machine.sys, machine.dev, machine.pts, machine.scratch };
  for (size_t i = 0; i < tag_count; i++) close(tags[i].fd);
  for (size_t i = 0; i < COUNT(own); i++) {
    if (own[i] >= 0) close(own[i]);
  }
}

int save_file(const void *bytes, size_t length, uint32_t mode, char *name, size_t size)
{
  if (files == 0) {
    mkdirat(machine.root, "files", 0700);
    if (fchdir(machine.root) < 0 || mount("tmpfs", "files", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0) return fail("tmpfs for files");
  }
  snprintf(name, size, "files/%u", files++);
  int fd = openat(machine.root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fail("file");
  bool done = length == 0 || write(fd, bytes, length) == (ssize_t)length;
  if (done) done = fchmod(fd, mode & 07777) == 0;
  int code = errno;
  close(fd);
  errno = code;
  return done ? 0 : fail("file of %zu bytes", length);
}

int release_root(void)
{
  sync();
  if (machine.scratch < 0) return 0;
  // By descriptor: from the container's root there is no path to it.
  if (fchdir(machine.scratch) < 0 || mount(NULL, ".", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) return fail("scratch read-only");
  return 0;
}

int keep_root(void)
{
  if (machine.scratch < 0) return 0;
  if (fchdir(machine.scratch) < 0 || mount(NULL, ".", NULL, MS_REMOUNT, NULL) < 0) return fail("scratch writable again");
  return 0;
}
