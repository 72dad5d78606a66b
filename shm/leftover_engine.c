/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stddef.h>

#include "shm/leftover.h"

/*
 * Whose a file below /dev/shm looks like, by the name its maker gives it. A name proves nothing: this is for
 * display, and for the eye of whoever writes a pattern. Boost.Interprocess lets the program choose the names
 * of its segments; only what it makes for itself can be told.
 */
static const struct signature {
    const char *pattern, *engine;
} signatures[] = {
    /* shm/durable_layout.h */
    {"duct-[0-9]*/*", "duct"},
    /* eclipse-iceoryx/iceoryx: iceoryx_posh/source/roudi/memory/mempool_collection_memory_block.cpp and
     * posh_types: "iceoryx_mgmt" up to 2.0, iceoryxResourcePrefix() "iox1_ID_…" from 3.0 */
    {"iceoryx_mgmt", "iceoryx"},
    {"iceoryx", "iceoryx"},
    {"iox1_[0-9]*", "iceoryx"},
    /* eclipse-iceoryx/iceoryx2: global.prefix of config/iceoryx2.toml */
    {"iox2_*", "iceoryx2"},
    /* eclipse-zenoh/zenoh: commons/zenoh-shm/src/posix_shm/cleanup.rs */
    {"*.zenoh", "zenoh"},
    /* ClusterLabs/libqb: lib/ipc_setup.c, a directory of mkdtemp() for each connection; before 1.0.4 files
     * in /dev/shm itself, lib/ringbuffer.c adds -header and -data */
    {"qb-[0-9]*-[0-9]*-[0-9]*/*", "libqb"},
    {"qb-*-header", "libqb"},
    {"qb-*-data", "libqb"},
    /* cloudwego/shmipc-go: config.go, ShareMemoryPathPrefix and QueuePath */
    {"shmipc*", "shmipc"},
    /* eProsima/Fast-DDS: tools/fastdds/shm/clean.py */
    {"fastrtps_*", "Fast DDS"},
    {"fastdds_*", "Fast DDS"},
    {"sem.fastrtps_*", "Fast DDS"},
    {"sem.fastdds_*", "Fast DDS"},
    /* boostorg/interprocess: detail/managed_global_memory.hpp, shared_dir_helpers.hpp */
    {"bip.gmem.*", "Boost.Interprocess"},
    {"boost_interprocess/*", "Boost.Interprocess"},
    /* python/cpython: Lib/multiprocessing/shared_memory.py, synchronize.py; joblib/loky: synchronize.py */
    {"psm_*", "Python multiprocessing"},
    {"sem.mp-*", "Python multiprocessing"},
    {"sem.loky-*", "Python multiprocessing"},
    /* postgres/postgres: src/backend/storage/ipc/dsm_impl.c */
    {"PostgreSQL.[0-9]*", "PostgreSQL"},
    /* open-mpi/ompi: opal/mca/btl/sm/btl_sm_module.c, before 5.0 btl/vader */
    {"sm_segment.*", "Open MPI"},
    {"vader_segment.*", "Open MPI"},
    /* chromium: base/memory/platform_shared_memory_region_posix.cc, names of GetUniquePrefix() */
    {".org.chromium.*", "Chromium"},
    {".com.google.Chrome.*", "Chromium"},
};

const char *di_engine_of(const char *name)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
        if (fnmatch(signatures[i].pattern, name, 0) == 0)
            return signatures[i].engine;
    return "";
}
