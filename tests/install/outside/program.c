/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <duct/duct.h>

/* A program outside the house, in what C11 and C++17 have in common. */
int main(void)
{
    struct duct_context *context;
    enum duct_err err = duct_context_open(&context, NULL);

    if (err != DUCT_OK) {
        fprintf(stderr, "open: %s: %s\n", duct_err_name(err), duct_err_detail());
        return 1;
    }
    duct_context_close(context);
    if (strcmp(duct_version(), DUCT_VERSION_STRING) != 0)
        return 1;
    printf("duct %s\n", duct_version());
    return 0;
}
