// pouch-init: the machine as a whole: its clock and randomness, want of memory, its orderly end.
// Powering off never waits longer than it was told to.
#include "init.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define RNDADDENTROPY 0x40085203
#define RNDRESEEDCRNG 0x5207
#define POWER_OFF_MAX_MS 600000u
#define KILL_WAIT_MS 500
#define KMSG_RECORDS_MAX 1000
#define VICTIMS 16u

static int64_t term_until, kill_until; // 0: not under way

void set_clock(uint64_t nanoseconds, const unsigned char seed[32])
{
  struct { int bits, size; unsigned char bytes[32]; } entropy = { 256, 32, { 0 } };
  struct timespec time = { (time_t)(nanoseconds / 1000000000ull), (long)(nanoseconds % 1000000000ull) };
  if (nanoseconds != 0 && clock_settime(CLOCK_REALTIME, &time) < 0) tell("pouch-init: clock: %s", strerror(errno));
  memcpy(entropy.bytes, seed, sizeof entropy.bytes);
  int fd = openat(machine.dev, "urandom", O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  if (ioctl(fd, (ioctl_number)RNDADDENTROPY, &entropy) < 0) tell("pouch-init: seed: %s", strerror(errno));
  ioctl(fd, RNDRESEEDCRNG, 0); // before 4.14 the pool itself is what is read
  close(fd);
}

void power_off_begin(uint32_t milliseconds)
{
  if (term_until != 0) return;
  if (milliseconds > POWER_OFF_MAX_MS) milliseconds = POWER_OFF_MAX_MS;
  if (processes_alive() > 0) kill(-1, SIGTERM);
  term_until = now_ms() + milliseconds;
}

int power_off_timeout_ms(void)
{
  if (term_until == 0) return -1;
  int64_t left = (kill_until != 0 ? kill_until : term_until) - now_ms();
  if (left < 0 || processes_alive() == 0) return 0;
  return left > 1000 ? 1000 : (int)left;
}

void power_off_step(void)
{
  if (term_until == 0) return;
  if (processes_alive() == 0 || (kill_until != 0 && now_ms() >= kill_until)) power_off_now();
  if (kill_until != 0 || now_ms() < term_until) return;
  kill(-1, SIGKILL);
  kill_until = now_ms() + KILL_WAIT_MS;
}

_Noreturn void power_off_now(void)
{
  kill(-1, SIGKILL);
  channel_flush();
  if (release_root() < 0) tell("pouch-init: %s", failure);
  sync();
  tell("pouch-init: Power down"); // the host may end the machine before the kernel says so
  channel_send(VM_RELEASED, 0, NULL, 0);
  channel_flush();
  reboot(RB_POWER_OFF);
  tell("pouch-init: no power-off: %s", strerror(errno));
  reboot(RB_AUTOBOOT); // with -no-reboot QEMU ends
  reboot((int)RB_HALT_SYSTEM);
  for (;;) pause();
}

static int kmsg = -1;
static uint64_t last_kills;
static bool counted; // the kernel counts its kills (4.13)

static bool read_kills(uint64_t *kills)
{
  static char text[16384];
  if (read_at(machine.proc, "vmstat", text, sizeof text) <= 0) return false;
  const char *at = strstr(text, "\noom_kill ");
  if (at == NULL) return false;
  *kills = strtoull(at + 10, NULL, 10);
  return true;
}

int oom_fd(void)
{
  static bool asked;
  if (!asked) {
    asked = true;
    counted = read_kills(&last_kills);
    // Its messages wake us; without them (before 3.5) the count is read at each end of a process.
    kmsg = openat(machine.dev, "kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (kmsg >= 0 && lseek(kmsg, 0, SEEK_END) < 0) {
      close(kmsg);
      kmsg = -1;
    }
  }
  return kmsg;
}

// Which process a message of the kernel says it has killed; 0: none. Before 5.x it is "Kill process 7" and then "Killed process 7".
static pid_t victim_of(const char *line)
{
  // Facility 0 is the kernel: a process can write to the log but not as the kernel.
  if (strtoul(line, NULL, 10) >= 8) return 0;
  const char *text = strchr(line, ';');
  const char *at = text == NULL ? NULL : strstr(text, "Killed process ");
  return at == NULL ? 0 : (pid_t)strtol(at + 15, NULL, 10);
}

static pid_t victims[VICTIMS];
static unsigned victim_count;
static bool uncounted_kill; // one whose victim no message names

void oom_check(void)
{
  static char line[8192];
  bool killed = false;
  for (int i = 0; kmsg >= 0 && i < KMSG_RECORDS_MAX; i++) {
    ssize_t got = read(kmsg, line, sizeof line - 1);
    if (got < 0 && errno == EPIPE) continue; // overwritten before they were read
    if (got <= 0) break;
    line[got] = '\0';
    pid_t victim = victim_of(line);
    if (victim == 0) continue;
    victims[victim_count++ % VICTIMS] = victim;
    killed = true;
  }
  uint64_t kills = last_kills;
  if (counted && read_kills(&kills) && kills > last_kills) {
    uncounted_kill = !killed && kmsg < 0;
    killed = true;
  }
  // Counted before it was told: the message then finds nothing new to count.
  if (killed && (!counted || kills > last_kills)) channel_send(VM_OOM, 0, NULL, 0);
  last_kills = kills;
}

bool oom_killed(pid_t pid)
{
  bool found = uncounted_kill;
  uncounted_kill = false;
  for (size_t i = 0; i < VICTIMS; i++) {
    if (victims[i] != pid) continue;
    victims[i] = 0; // the number may be another process's soon
    found = true;
  }
  return found;
}
