"""Our side of `training_sets.py`: `python ours_training_set.py SPEC OUT [--created]`."""

import json
import resource
import sys
from pathlib import Path

from easyrec.store.definitions import load_store
from easyrec.store.point_in_time import training_set


def main() -> None:
    spec, out, created = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), "--created" in sys.argv
    folder = Path(spec["folder"])
    keys = sorted({view["key"] for view in spec["views"]})
    config = load_store(
        {
            "project": "p",
            "entities": [{"name": key, "join_id": key} for key in keys],
            "views": [
                {
                    "name": view["name"],
                    "entity": view["key"],
                    "source": {"type": "parquet", "path": str(folder / f"{view['name']}.parquet")},
                    "event_time": "event_time",
                    "ttl": f"{spec['ttl_days']}d",
                    "fields": [{"name": name, "type": "float"} for name in view["fields"]],
                    **({"created_time": "created"} if created else {}),
                }
                for view in spec["views"]
            ],
            "models": [{"name": "m", "features": [{"view": view["name"]} for view in spec["views"]]}],
        }
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    output = folder / ("ours-created.parquet" if created else "ours.parquet")
    made = training_set(config, "m", folder / "spine.parquet", output)
    now = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "cpu_s": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime,
        "wall_s": made.seconds,
        "peak_mb": next(
            int(line.split()[1]) / 1024
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        ),
        "rows": made.rows,
    }
    out.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
