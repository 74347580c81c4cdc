/* The smallest web server: answers every request on $PORT (5000) with 200 and its uid. Ends on SIGTERM.
 * For measuring engines, and for tests that need no runtime in the image. gcc -static -O2 -o server server.c */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_term(int number) { (void)number; _exit(0); }

int main(void) {
    const char *port = getenv("PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 5000)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

    signal(SIGTERM, on_term);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        perror("server");
        return 1;
    }
    printf("listening\n");
    fflush(stdout);
    for (;;) {
        char request[4096], body[64], answer[256];
        int connection = accept(listener, NULL, NULL);
        if (connection < 0)
            continue;
        if (read(connection, request, sizeof request) > 0) {
            int size = snprintf(body, sizeof body, "ok uid %d\n", (int)getuid());
            size = snprintf(answer, sizeof answer,
                            "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", size, body);
            if (write(connection, answer, size) < 0)
                perror("server");
        }
        close(connection);
    }
}
