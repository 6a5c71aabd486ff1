/* An HTTP/1.1 server that costs next to nothing: it reads requests of a known length, throws them away, and answers
 * each with the same bytes. A GET, which does not count, is answered with its counts. It ends when its standard input does.
 *
 *   sink ANSWER_FILE MEAN_DELAY_IN_MICROSECONDS HOLD_IN_MICROSECONDS [CERTIFICATE KEY]
 *
 * prints its port. Compiled with -DTLS (and -lssl -lcrypto) it speaks TLS if it is given a certificate. A delay is
 * drawn evenly from 0 to twice the mean, so that calls that began together do not end in step. With a hold, it stops
 * reading for that long behind each head, so that uploads pile up at the client. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
#endif

enum { MOST_FDS = 65536, HEAD = 16384, CHUNK = 256 * 1024, EVENTS = 256 };

typedef struct {
    uint64_t serial; /* tells a connection from an earlier one with the same number; 0 if closed */
    size_t head_size;
    long long left; /* bytes of the body still to come */
    int counting;   /* whether the request asks for the counts */
    char head[HEAD];
#ifdef TLS
    SSL *tls;
#endif
} Connection;

typedef struct {
    uint64_t due; /* nanoseconds */
    uint64_t serial;
    int fd;
    int reads; /* whether to read on, instead of to answer */
} Timer;

static Connection *connections[MOST_FDS];
static Timer heap[MOST_FDS];
static size_t timers;
static uint64_t serials, requests, received;
static char *answer, chunk[CHUNK];
static size_t answer_size;
static double mean_delay, hold; /* nanoseconds */
static int epoll_fd, timer_fd;
#ifdef TLS
static SSL_CTX *tls_context;
#endif

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void forget(int fd) {
    connections[fd]->serial = 0;
#ifdef TLS
    if (connections[fd]->tls) SSL_free(connections[fd]->tls);
    connections[fd]->tls = NULL;
#endif
    close(fd);
}

/* Returns bytes read, 0 if there are none for now, -1 at the end. */
static ssize_t take(int fd, char *into, size_t most) {
#ifdef TLS
    if (connections[fd]->tls) {
        int got = SSL_read(connections[fd]->tls, into, (int)most);
        if (got > 0) return got;
        int error = SSL_get_error(connections[fd]->tls, got);
        return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    ssize_t got = recv(fd, into, most, 0);
    if (got > 0) return got;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t give(int fd, const char *bytes, size_t size) {
#ifdef TLS
    if (connections[fd]->tls) return SSL_write(connections[fd]->tls, bytes, (int)size);
#endif
    return send(fd, bytes, size, MSG_NOSIGNAL);
}

/* Answers are small and their callers wait for them, so a full buffer is waited for on the spot. */
static void put(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = give(fd, bytes, size);
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
            continue;
        }
        struct pollfd writable = {.fd = fd, .events = POLLOUT};
        if (poll(&writable, 1, 5000) <= 0 || (writable.revents & (POLLERR | POLLHUP))) return;
    }
}

static void put_counts(int fd) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    char body[128], whole[256];
    int size = snprintf(body, sizeof body, "{\"requests\":%llu,\"received\":%llu,\"cpu\":%.6f}",
                        (unsigned long long)requests, (unsigned long long)received, cpu);
    size = snprintf(whole, sizeof whole, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, body);
    put(fd, whole, (size_t)size);
}

static void set_timer(void) {
    uint64_t due = timers ? heap[0].due : 0;
    struct itimerspec when = {.it_value = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void swap(size_t one, size_t other) {
    Timer kept = heap[one];
    heap[one] = heap[other];
    heap[other] = kept;
}

static void push_timer(Timer timer) {
    size_t at = timers++;
    heap[at] = timer;
    for (; at && heap[at].due < heap[(at - 1) / 2].due; at = (at - 1) / 2) swap(at, (at - 1) / 2);
}

static Timer pop_timer(void) {
    Timer first = heap[0];
    heap[0] = heap[--timers];
    for (size_t at = 0, child; (child = 2 * at + 1) < timers; at = child) {
        if (child + 1 < timers && heap[child + 1].due < heap[child].due) child++;
        if (heap[at].due <= heap[child].due) break;
        swap(at, child);
    }
    return first;
}

static void after(double delay, int fd, int reads) {
    push_timer((Timer){now() + (uint64_t)delay, connections[fd]->serial, fd, reads});
    set_timer();
}

static void listen_to(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0) die("epoll_ctl");
}

static void finish(int fd) {
    if (connections[fd]->counting) {
        put_counts(fd);
        return;
    }
    requests++;
    if (mean_delay == 0) {
        put(fd, answer, answer_size);
        return;
    }
    after(drand48() * 2 * mean_delay, fd, 0);
}

/* Takes bytes of a head; returns how many of them belong to the body behind it, -1 while the head is not whole. */
static ssize_t read_head(Connection *connection, const char *bytes, size_t size) {
    size_t before = connection->head_size, room = HEAD - 1 - before, kept = size < room ? size : room;
    memcpy(connection->head + before, bytes, kept);
    connection->head_size += kept;
    connection->head[connection->head_size] = 0;
    char *end = memmem(connection->head, connection->head_size, "\r\n\r\n", 4);
    if (!end) return -1;
    size_t head = (size_t)(end - connection->head) + 4;
    *end = 0;
    char *length = strcasestr(connection->head, "\r\ncontent-length:");
    connection->left = length ? atoll(length + 17) : 0;
    connection->counting = !strncmp(connection->head, "GET ", 4);
    connection->head_size = 0;
    return (ssize_t)(before + size - head);
}

/* Reads what there is. A client waits for its answer before it sends the next request. */
static void receive(int fd) {
    Connection *connection = connections[fd];
    ssize_t size, came;
    while ((came = size = take(fd, chunk, CHUNK)) > 0) {
        received += (uint64_t)came;
        int began = !connection->left;
        if (began && (size = read_head(connection, chunk, (size_t)size)) < 0) continue;
        connection->left -= size;
        if (connection->left <= 0) {
            if (connection->counting) received -= (uint64_t)came;
            connection->left = 0;
            finish(fd);
        } else if (began && hold > 0) {
            listen_to(fd, 0);
            after(hold, fd, 1);
            return;
        }
    }
    if (came < 0) forget(fd);
}

static void ring(void) {
    uint64_t expirations, time = now();
    if (read(timer_fd, &expirations, sizeof expirations) < 0) return;
    while (timers && heap[0].due <= time) {
        Timer timer = pop_timer();
        if (connections[timer.fd]->serial != timer.serial) continue;
        if (timer.reads) {
            listen_to(timer.fd, EPOLLIN);
            receive(timer.fd); /* TLS may have read more than it gave, of which epoll knows nothing */
        } else
            put(timer.fd, answer, answer_size);
    }
    set_timer();
}

static void accept_from(int listener, int with_tls) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
    if (fd < 0 || fd >= MOST_FDS) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!connections[fd] && !(connections[fd] = calloc(1, sizeof(Connection)))) die("calloc");
    connections[fd]->serial = ++serials;
    connections[fd]->head_size = 0;
    connections[fd]->left = 0;
#ifdef TLS
    if (with_tls) {
        connections[fd]->tls = SSL_new(tls_context);
        SSL_set_fd(connections[fd]->tls, fd);
        SSL_set_accept_state(connections[fd]->tls);
    }
#else
    (void)with_tls;
#endif
    watch(fd);
}

static int listen_on_loopback(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0) die("bind");
    if (listen(listener, 1024) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0) die("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void load_answer(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    fseek(file, 0, SEEK_END);
    answer_size = (size_t)ftell(file);
    rewind(file);
    answer = malloc(answer_size);
    if (!answer || fread(answer, 1, answer_size, file) != answer_size) die(path);
    fclose(file);
}

static void load_certificate(const char *certificate, const char *key) {
#ifdef TLS
    tls_context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1)
        die("certificate");
    SSL_CTX_set_read_ahead(tls_context, 1); /* else each record costs two calls of the kernel */
#else
    (void)certificate, (void)key;
    errno = ENOTSUP;
    die("TLS");
#endif
}

int main(int count, char **arguments) {
    if (count != 4 && count != 6) return 2;
    int with_tls = count == 6;
    load_answer(arguments[1]);
    mean_delay = atof(arguments[2]) * 1000;
    hold = atof(arguments[3]) * 1000;
    if (with_tls) load_certificate(arguments[4], arguments[5]);
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int listener = listen_on_loopback();
    watch(listener);
    watch(timer_fd);
    watch(STDIN_FILENO);
    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int number = 0; number < ready; number++) {
            int fd = events[number].data.fd;
            if (fd == STDIN_FILENO) return 0;
            if (fd == listener)
                accept_from(listener, with_tls);
            else if (fd == timer_fd)
                ring();
            else if (connections[fd]->serial)
                receive(fd);
        }
    }
}
