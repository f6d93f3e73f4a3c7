"""rewrite.py FROM TO: the Arrow files of a record, written again by pyarrow.

RECORD_OUT=/tmp/kept go test ./batcher/record -run TestRewritten leaves the record to begin with;
testdata/pyarrow is what pyarrow 26.0.1 made of it.
"""

import glob
import os
import sys

import pyarrow as pa

os.makedirs(sys.argv[2], exist_ok=True)
for path in glob.glob(sys.argv[1] + "/*.arrow"):
    r = pa.ipc.open_file(path)
    with pa.OSFile(os.path.join(sys.argv[2], os.path.basename(path)), "wb") as out, pa.ipc.new_file(out, r.schema) as w:
        for i in range(r.num_record_batches):
            w.write_batch(r.get_batch(i))
