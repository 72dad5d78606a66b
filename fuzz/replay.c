/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/input.h"

/*
 * Stands in for libFuzzer where there is none: gives each file of each folder (or each file) that is
 * named to the target, once.
 */

#define FILE_BYTES_MAX (1u << 20)

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_BYTES_MAX);

    if (file == NULL || bytes == NULL) {
        fprintf(stderr, "cannot read %s\n", path);
        if (file != NULL)
            fclose(file);
        free(bytes);
        return false;
    }
    struct input in = {.at = bytes, .left = fread(bytes, 1, FILE_BYTES_MAX, file)};
    size_t size;
    uint8_t *exact = input_rest(&in, &size);
    fclose(file);
    free(bytes);
    /* The last line that a target leaves when it dies. */
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return true;
}

/* How many were replayed; -1 if one could not be read. */
static int replay(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;

    if (folder == NULL)
        return replay_file(path) ? 1 : -1;
    for (struct dirent *entry; count >= 0 && (entry = readdir(folder)) != NULL;) {
        char inside[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
        count = replay_file(inside) ? count + 1 : -1;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int count = replay(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: nothing to replay\n", argv[i]);
            return 1;
        }
        printf("%s: %d inputs replayed\n", argv[i], count);
    }
    return argc > 1 ? 0 : 1;
}
