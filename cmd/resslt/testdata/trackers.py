"""Reads a tracked run as its tracker does, and prints it as JSON: trackers_test.go compares it.

trackers.py mlflow URL OUT      by MLflow's client, from its server
trackers.py wandb URL OUT       by W&B's reader of .wandb files
"""

import glob
import json
import os
import sys


def mlflow_run(url):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(url)
    experiment = client.get_experiment_by_name("resslt")
    runs = client.search_runs([experiment.experiment_id])
    run = runs[0]
    run_id = run.info.run_id

    def history(key):
        return [[m.step, m.value] for m in client.get_metric_history(run_id, key)]

    tags = run.data.tags
    summary = {k.removeprefix("summary/"): v for k, v in run.data.metrics.items() if k.startswith("summary/")}
    summary["student_sha256"] = tags.get("resslt.student_sha256")
    return {
        "runs": len(runs),
        "status": run.info.status.lower(),
        "project": experiment.name,
        "name": run.info.run_name,
        "params": run.data.params,
        "tags": {"commit": tags.get("mlflow.source.git.commit", "")},
        "loss": history("loss/total"),
        "knn": history("knn/top1_k20"),
        "linear": history("linear/top1"),
        "summary": summary,
        "files": [f.path for f in client.list_artifacts(run_id)],
    }


def wandb_run(out):
    from wandb.proto import wandb_internal_pb2 as pb
    from wandb.sdk.internal.datastore import DataStore

    folders = glob.glob(os.path.join(out, "wandb", "offline-run-*"))
    (path,) = glob.glob(os.path.join(folders[0], "run-*.wandb"))
    store = DataStore()
    store.open_for_scan(path)
    got = {"runs": len(folders), "loss": [], "knn": [], "linear": [], "summary": {}, "files": [], "status": "running"}
    curves = {"loss/total": "loss", "knn/top1_k20": "knn", "linear/top1": "linear"}
    number, row = 0, -1
    while (data := store.scan_data()) is not None:
        record = pb.Record()
        record.ParseFromString(data)
        number += 1
        assert record.num == number, f"record {number} has number {record.num}"
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            got["name"], got["project"] = run.display_name, run.project
            values = {i.key: json.loads(i.value_json) for i in run.config.update}
            got["params"] = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
            got["tags"] = {"commit": run.git.commit}
            assert run.start_time.seconds > 0 and run.run_id in path
        elif kind == "history":
            values = {i.key: json.loads(i.value_json) for i in record.history.item}
            row += 1
            assert record.history.step.num == values["_step"] == row, values
            for tag, name in curves.items():
                if tag in values:
                    got[name].append([values["trainer/global_step"], values[tag]])
        elif kind == "metric":
            assert record.metric.name or record.metric.step_metric == "trainer/global_step"
        elif kind == "summary":
            got["summary"] = {i.key: json.loads(i.value_json) for i in record.summary.update}
        elif kind == "files":
            got["files"] = [f.path for f in record.files.files]
            for name in got["files"]:
                assert os.path.exists(os.path.join(folders[0], "files", name))
        elif kind == "exit":
            got["status"] = "finished" if record.exit.exit_code == 0 else "failed"
        else:
            assert kind in ("header", "footer"), kind
    return got


kind, url, out = sys.argv[1:]
print(json.dumps(mlflow_run(url) if kind == "mlflow" else wandb_run(out)))
