/* SPDX-License-Identifier: Apache-2.0 */
#include <duct/version.h>

const char *duct_version(void)
{
    return DUCT_VERSION_STRING;
}
