/* PID 1 of a laboratory guest: keeps a journal on its disk, and answers as qemu's guest agent.
 * The initrd holds nothing else.
 *
 * The disk, in sectors of 512 bytes (sector 0 stays empty: the image is still found to be raw):
 *   1..127   marks: one for each time this writer saw the hand of another; never overwritten
 *   128..    records: number n is in sector 128 + n; each is written once, in order
 * Every TICK my last record must be as I wrote it, and the sector after it empty. Else somebody
 * else writes: a mark.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SECTOR = 512, FIRST = 128, TICK_MS = 250 };

static char mine[SECTOR] __attribute__((aligned(SECTOR)));   /* my last record */
static char seen[SECTOR] __attribute__((aligned(SECTOR)));
static char mark[SECTOR] __attribute__((aligned(SECTOR)));
static char boot[40], host[80], server[80];
static long n = -1, sectors;
static int disk = -1, agent = -1;

static void say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    fflush(stdout);
}

static void line_of(const char *path, char *into, size_t size) {
    int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, into, size - 1);
    into[got > 0 ? got : 0] = 0;
    into[strcspn(into, " \n")] = 0;
    if (fd >= 0) close(fd);
}

static void load_modules(void) {   /* /modules/00.ko, 01.ko, ...: each after those it needs */
    char path[40];
    for (int number = 0;; number++) {
        snprintf(path, sizeof path, "/modules/%02d.ko", number);
        int fd = open(path, O_RDONLY);
        if (fd < 0) return;
        if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
            say("guest: %s: %s\n", path, strerror(errno));
        close(fd);
    }
}

static double up(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void get(long sector, char *into) {
    if (pread(disk, into, SECTOR, sector * SECTOR) != SECTOR)
        say("guest: cannot read sector %ld: %s\n", sector, strerror(errno));
}

static void put(long sector, const char *from) {
    if (pwrite(disk, from, SECTOR, sector * SECTOR) != SECTOR)
        say("guest: cannot write sector %ld: %s\n", sector, strerror(errno));
}

static long first_empty(long low, long high) {   /* filled ones come first */
    while (low < high) {
        long middle = (low + high) / 2;
        get(middle, seen);
        if (seen[0]) low = middle + 1; else high = middle;
    }
    return low;
}

static void record(const char *kind) {
    memset(mine, 0, SECTOR);
    snprintf(mine, SECTOR,
             "IHA1 n=%ld kind=%s boot=%s host=%s server=%s wall=%.3f up=%.3f\n",
             n, kind, boot, host, server, wall(), up());
    put(FIRST + n, mine);
}

static void double_writer(const char *what) {
    char other[SECTOR];
    memcpy(other, seen, SECTOR - 1), other[SECTOR - 1] = 0;
    other[strcspn(other, "\n")] = 0;
    memset(mark, 0, SECTOR);
    snprintf(mark, SECTOR,
             "IHA1 MARK %s n=%ld boot=%s host=%s wall=%.3f up=%.3f other=(%.250s)\n",
             what, n, boot, host, wall(), up(), other);
    long sector = first_empty(1, FIRST - 1);
    char copy[SECTOR];
    memcpy(copy, mark, sizeof copy);
    put(sector, mark);
    say("guest: DOUBLE WRITER: %s", copy);
}

static void tick(const char *kind) {
    if (n >= 0 && mine[0]) {
        get(FIRST + n, seen);
        if (memcmp(seen, mine, SECTOR)) double_writer("overwritten");
    }
    get(FIRST + n + 1, seen);
    if (seen[0]) {
        double_writer("overtaken");
        n = first_empty(FIRST + n + 1, sectors) - FIRST - 1;
    }
    n++;
    record(kind);
}

static void open_agent(void) {
    char path[80], name[80];
    for (int device = 0; device < 16; device++) {   /* the first port of a virtio device */
        snprintf(path, sizeof path, "/sys/class/virtio-ports/vport%dp1/name", device);
        line_of(path, name, sizeof name);
        if (strcmp(name, "org.qemu.guest_agent.0")) continue;
        snprintf(path, sizeof path, "/dev/vport%dp1", device);
        agent = open(path, O_RDWR | O_NONBLOCK);
        return;
    }
}

static void answer(char *line) {
    char text[300];
    char *id = strstr(line, "\"id\":");
    if (strstr(line, "guest-sync")) {
        snprintf(text, sizeof text, "%s{\"return\":%lld}\n",
                 strstr(line, "delimited") ? "\xff" : "", id ? atoll(id + 5) : 0);
    } else if (strstr(line, "\"guest-ping\"")) {
        snprintf(text, sizeof text, "{\"return\":{}}\n");
    } else if (strstr(line, "\"guest-get-host-name\"")) {   /* where and how far this guest is */
        snprintf(text, sizeof text, "{\"return\":{\"host-name\":\"n=%ld boot=%s host=%s\"}}\n",
                 n, boot, host);
    } else if (strstr(line, "\"guest-shutdown\"")) {
        tick("shutdown");
        sync();
        reboot(strstr(line, "reboot") ? RB_AUTOBOOT : RB_POWER_OFF);
        return;
    } else {
        snprintf(text, sizeof text, "{\"error\":{\"class\":\"CommandNotFound\","
                 "\"desc\":\"not in a laboratory guest\"}}\n");
    }
    if (write(agent, text, strlen(text)) < 0) say("guest: agent: %s\n", strerror(errno));
}

static void serve_agent(void) {
    static char line[4096];
    static size_t length;
    ssize_t got;
    while ((got = read(agent, line + length, sizeof line - 1 - length)) > 0) {
        length += got;
        line[length] = 0;
        char *end;
        while ((end = memchr(line, '\n', length))) {
            *end = 0;
            answer(line);
            length -= end + 1 - line;
            memmove(line, end + 1, length);
        }
        if (length == sizeof line - 1) length = 0;
    }
}

int main(void) {
    mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, 0), mount("sys", "/sys", "sysfs", 0, 0);
    mount("dev", "/dev", "devtmpfs", 0, 0);
    int console = open("/dev/console", O_RDWR);
    if (console >= 0) dup2(console, 0), dup2(console, 1), dup2(console, 2);
    load_modules();
    line_of("/proc/sys/kernel/random/boot_id", boot, 9);
    snprintf(boot + 8, sizeof boot - 8, "%08lx", (unsigned long)(wall() * 1e6) & 0xffffffff);
    line_of("/sys/class/dmi/id/product_serial", host, sizeof host);
    line_of("/sys/class/dmi/id/product_uuid", server, sizeof server);
    for (int tries = 0; tries < 200; tries++) {
        if ((disk = open("/dev/vda", O_RDWR | O_DIRECT)) >= 0) break;
        usleep(50000);
    }
    unsigned long long bytes = 0;
    if (disk < 0 || ioctl(disk, BLKGETSIZE64, &bytes)) say("guest: no disk: %s\n", strerror(errno));
    sectors = bytes / SECTOR;
    if (disk >= 0) {
        n = first_empty(FIRST, sectors) - FIRST - 1;
        tick("boot");
    }
    say("guest: boot %s of %s on host %s begins at n=%ld, up %.3f s\n",
        boot, server, host, n, up());
    double next = up();
    for (;;) {
        next += TICK_MS / 1000.0;
        if (next < up()) next = up() + TICK_MS / 1000.0;   /* was paused: no burst */
        if (agent < 0) open_agent();
        double rest;
        while ((rest = next - up()) > 0) {
            struct pollfd wait = {.fd = agent, .events = POLLIN};
            if (poll(&wait, agent >= 0, rest * 1000 + 1) > 0) {
                if (wait.revents & POLLIN) serve_agent();
                if (wait.revents & POLLHUP)   /* the host's end is closed */
                    usleep(rest > 0.05 ? 50000 : 1000);
            }
        }
        if (disk >= 0) tick("tick");
        if (n % 40 == 0) say("guest: n=%ld up %.1f s\n", n, up());
    }
}
