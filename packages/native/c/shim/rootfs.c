// Mounts what containerd's snapshotter made (overlay, bind, or whatever file system it names) and takes it away again.
#define _GNU_SOURCE
#include "rootfs.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TARGET "rootfs" /* in the bundle, which is the working directory */
#define DATA_MAX 4096u  /* the kernel takes one page of options */
#define UNMOUNTS_MAX 64u

struct option { const char *name; unsigned long flag; bool clears; };

static const struct option options[] = {
	{ "async", MS_SYNCHRONOUS, true }, { "atime", MS_NOATIME, true }, { "bind", MS_BIND, false }, { "defaults", 0, false },
	{ "dev", MS_NODEV, true }, { "diratime", MS_NODIRATIME, true }, { "dirsync", MS_DIRSYNC, false }, { "exec", MS_NOEXEC, true },
	{ "mand", MS_MANDLOCK, false }, { "noatime", MS_NOATIME, false }, { "nodev", MS_NODEV, false }, { "nodiratime", MS_NODIRATIME, false },
	{ "noexec", MS_NOEXEC, false }, { "nomand", MS_MANDLOCK, true }, { "norelatime", MS_RELATIME, true }, { "nostrictatime", MS_STRICTATIME, true },
	{ "nosuid", MS_NOSUID, false }, { "rbind", MS_BIND | MS_REC, false }, { "relatime", MS_RELATIME, false }, { "remount", MS_REMOUNT, false },
	{ "ro", MS_RDONLY, false }, { "rw", MS_RDONLY, true }, { "strictatime", MS_STRICTATIME, false }, { "suid", MS_NOSUID, true }, { "sync", MS_SYNCHRONOUS, false },
};

struct mounting {
	char type[64], source[TEXT_MAX], target[TEXT_MAX];
	unsigned long flags;
	char data[64u << 10]; /* overlay options of many layers, before they are shortened */
};

static bool append_option(struct mounting *mount, const char *text, size_t length)
{
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		if (strlen(options[i].name) != length || memcmp(options[i].name, text, length) != 0) continue;
		if (options[i].clears) mount->flags &= ~options[i].flag;
		else mount->flags |= options[i].flag;
		return true;
	}
	size_t used = strlen(mount->data);
	if (used + length + 2 > sizeof mount->data || memchr(text, '\0', length) != NULL) return false;
	if (used > 0) mount->data[used++] = ',';
	memcpy(mount->data + used, text, length);
	mount->data[used + length] = '\0';
	return true;
}

/* types.Mount: type = 1, source = 2, target = 3 (containerd 1.7), options = 4. */
static bool read_mount(struct mounting *mount, const struct field *bytes)
{
	struct message message;
	struct field field;
	*mount = (struct mounting){ 0 };
	if (!message_read(&message, bytes->bytes, bytes->length) || !message_text(&message, 1, mount->type, sizeof mount->type) ||
	    !message_text(&message, 2, mount->source, sizeof mount->source) || !message_text(&message, 3, mount->target, sizeof mount->target)) return false;
	for (struct in in = in_of(bytes->bytes, bytes->length); in_next(&in, &field);)
		if (field.number == 4 && (!field.is_bytes || !append_option(mount, (const char *)field.bytes, field.length))) return false;
	return true;
}

/*
 * The layers of an image are siblings. What their paths have in common is taken out, so that options of more than a page fit: the mount is
 * made from that directory. False: nothing in common, or no lowerdir.
 */
static bool shorten(char *data, char common[TEXT_MAX])
{
	char *lower = strncmp(data, "lowerdir=", 9) == 0 ? data : strstr(data, ",lowerdir=");
	if (lower == NULL) return false;
	lower = strchr(lower, '=') + 1;
	size_t prefix = strcspn(lower, ":,"), all = strcspn(lower, ",");
	if (prefix >= TEXT_MAX) return false;
	for (const char *at = lower; at < lower + all; at += strcspn(at, ":,") + 1) {
		size_t same = 0;
		while (same < prefix && at[same] == lower[same]) same++;
		prefix = same;
	}
	while (prefix > 0 && lower[prefix - 1] != '/') prefix--;
	if (prefix < 2) return false;
	memcpy(common, lower, prefix);
	common[prefix] = '\0';
	char *into = lower;
	for (char *at = lower;;) {
		at += prefix;
		size_t length = strcspn(at, ":,");
		memmove(into, at, length);
		into += length;
		at += length;
		if (*at != ':') {
			memmove(into, at, strlen(at) + 1);
			return true;
		}
		*into++ = ':';
		at++;
	}
}

static bool mount_one(struct mounting *mounting, char reason[REASON_MAX])
{
	char target[TEXT_MAX + 8], common[TEXT_MAX] = "";
	snprintf(target, sizeof target, "%s/" TARGET, shim.bundle);
	if (mounting->target[0] != '\0') {
		snprintf(reason, REASON_MAX, "failed to mount rootfs component: a target below it is not supported: %.200s", mounting->target);
		return false;
	}
	if (strlen(mounting->data) >= DATA_MAX - 256 && !shorten(mounting->data, common)) common[0] = '\0';
	if (strlen(mounting->data) >= DATA_MAX) {
		snprintf(reason, REASON_MAX, "failed to mount rootfs component: options of %zu bytes; the kernel takes %u", strlen(mounting->data), DATA_MAX);
		return false;
	}
	const char *type = (mounting->flags & MS_BIND) != 0 ? NULL : mounting->type;
	bool there = common[0] == '\0' || chdir(common) == 0;
	bool mounted = there && mount(mounting->source, target, type, mounting->flags & ~(unsigned long)((mounting->flags & MS_BIND) != 0 ? MS_RDONLY : 0), mounting->data) == 0;
	/* The kernel takes "read-only" of a bind mount only as a second step. */
	if (mounted && (mounting->flags & MS_BIND) != 0 && (mounting->flags & MS_RDONLY) != 0) mounted = mount("", target, NULL, mounting->flags | MS_REMOUNT, NULL) == 0;
	int error = errno;
	if (common[0] != '\0' && chdir(shim.bundle) != 0) give_up("the bundle is gone");
	if (!mounted) snprintf(reason, REASON_MAX, "failed to mount rootfs component: %s: %s", mounting->type, strerror(error));
	return mounted;
}

bool rootfs_mount(const struct message *create, char reason[REASON_MAX])
{
	static struct mounting mounting; /* too big for the stack, used once */
	struct field field;
	for (struct in in = in_of(create->bytes, create->length); in_next(&in, &field);) {
		if (field.number != 3) continue;
		if (mkdir(TARGET, 0711) != 0 && errno != EEXIST) {
			snprintf(reason, REASON_MAX, "failed to make the directory of the rootfs: %s", strerror(errno));
			return false;
		}
		if (!field.is_bytes || !read_mount(&mounting, &field)) {
			snprintf(reason, REASON_MAX, "failed to mount rootfs component: malformed, or longer than is taken");
			return false;
		}
		if (!mount_one(&mounting, reason)) return false;
	}
	return true;
}

bool rootfs_unmount(void)
{
	for (unsigned i = 0; i < UNMOUNTS_MAX; i++) {
		if (umount2(TARGET, UMOUNT_NOFOLLOW) == 0) continue;
		if (errno == EBUSY && umount2(TARGET, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
		return errno == EINVAL || errno == ENOENT;
	}
	return false;
}
