"""From columns to endpoints: bundles, whether or not they are of the config that is there, and servers."""

import datetime
import json
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.lineage.build import lineage, untraced
from easyrec.lineage.openlineage import events


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "current").write_text(str(trained / "bundle"))
    serving = {"port": 8123, "models": [{"name": "ctr", "bundle": "bundles/current"}]}
    (tmp_path / "serving.yaml").write_text(yaml.safe_dump(serving))
    view = {
        "name": "items",
        "entity": "item",
        "owner": "anna",
        "source": {"type": "parquet", "path": "warehouse/items"},
        "fields": [{"name": "price", "type": "float", "description": "in euros"}, {"name": "cate", "type": "int64"}],
    }
    store = {
        "project": "shop",
        "online": {"type": "memory"},
        "entities": [{"name": "item", "join_id": "item_id"}],
        "views": [view],
        "models": [{"name": "ctr", "features": [{"view": "items"}]}],
    }
    (tmp_path / "store.yaml").write_text(yaml.safe_dump(store))
    return tmp_path


def command(trained, *words):
    known = ["--config", str(trained), "--serving", "serving.yaml"]
    return main(["store", "lineage", "-c", "store.yaml", *known, *words])


def test_a_column_reaches_the_endpoint_that_answers_with_it(here, trained, capsys):
    assert command(trained, "--impact", "warehouse/items.price", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["models"] == ["ctr"]
    assert [name.partition("@")[0] for name in found["versions"]] == ["ctr"]
    assert found["endpoints"] == ["127.0.0.1:8123/ctr"]
    # The stub and what reads it break too.
    assert {"feature:ctr.price", "feature:ctr.price_x_cate", "input:ctr.deep/price_x_cate"} <= set(found["broken"])
    assert "feature:ctr.cate" not in found["broken"]
    assert command(trained, "--impact", "shop.click", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["models"], found["untrained"], found["endpoints"]) == ([], ["ctr"], [])


def test_nothing_breaks_without_a_column_that_nobody_reads(here, trained, capsys):
    config = yaml.safe_load((here / "store.yaml").read_text())
    config["views"][0]["fields"].append({"name": "colour", "type": "string"})
    (here / "store.yaml").write_text(yaml.safe_dump(config))
    assert command(trained, "--impact", "items.colour") == 0
    told = capsys.readouterr().out
    assert "items.colour" in told
    assert "no model breaks" in told


def test_upstream_and_downstream_are_told_as_tables_and_as_json(here, trained, capsys):
    assert command(trained, "--upstream", "127.0.0.1:8123/ctr", "--json") == 0
    kinds = [node["kind"] for node in json.loads(capsys.readouterr().out)]
    assert set(kinds) == {"column", "field", "feature", "input", "label", "model", "version"}
    assert command(trained, "--downstream", "field:items.cate") == 0
    assert "price_x_cate" in capsys.readouterr().out
    assert command(trained) == 0
    assert "ctr" in capsys.readouterr().out


def test_a_bundle_of_other_features_is_a_model_of_its_own(here, trained):
    other = here / "other.yaml"
    config = yaml.safe_load((trained / "config.yaml").read_text())
    config["features"] = config["features"][:3]
    other.write_text(yaml.safe_dump(config))
    graph = lineage(None, [other], [trained / "bundle"])
    old = graph.of_kind("version")[0].shown
    assert {node.shown for node in graph.of_kind("model")} == {"ctr", old}
    found = graph.impact([graph.find("shop.price").id])
    assert (found.models, found.versions) == ([old], [old])
    assert untraced(graph) == []
    alone = lineage(None, [], [trained / "bundle", trained / "bundle"])
    assert [node.shown for node in alone.of_kind("model")] == ["ctr"]
    assert alone.of_kind("version")[0].facts["created"]


def test_an_endpoint_whose_bundle_is_elsewhere_is_told_by_its_name(here, trained):
    (here / "serving.yaml").write_text("models: [{name: ctr, bundle: s3://models/ctr}]")
    graph = lineage(None, [trained], [], ["serving.yaml"])
    (edge,) = graph.into("endpoint:127.0.0.1:8000/ctr")
    assert edge.source == "model:ctr"
    assert "cannot be seen from here" in edge.text


# ------------------------------------------------------------------------------------------- OpenLineage


def test_events_have_what_the_specification_asks_for(here, trained, capsys):
    assert command(trained, "--openlineage", "events.jsonl") == 0
    made = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    jobs = {event["job"]["name"].partition("@")[0] for event in made}
    assert jobs == {"view.items", "features.ctr", "model.ctr", "version.ctr", "endpoint.127.0.0.1:8123/ctr"}
    assert len(made) == len(jobs)
    known = {(name, field["name"]) for e in made for name, field in _fields(e["outputs"])}
    for event in made:
        assert datetime.datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        (output,) = event["outputs"]
        listed = {field["name"] for field in output["facets"]["schema"]["fields"]}
        assert set(output["facets"]["columnLineage"]["fields"]) == listed
        read = {(name, field["name"]) for name, field in _fields(event["inputs"])}
        for field in output["facets"]["columnLineage"]["fields"].values():
            for source in field["inputFields"]:
                assert (source["name"], source["field"]) in read
                assert source["name"].startswith("table/") or (source["name"], source["field"]) in known
    crossed = next(e for e in made if e["job"]["name"] == "features.ctr")["outputs"][0]["facets"]["columnLineage"]
    sources = {(s["name"], s["field"]) for s in crossed["fields"]["price_x_cate"]["inputFields"]}
    assert sources == {("view/items", "price"), ("view/items", "cate")}  # through a stub and another feature


def _fields(datasets):
    return [(one["name"], field) for one in datasets for field in one["facets"]["schema"]["fields"]]


def test_the_client_of_openlineage_takes_every_event_and_facet(here, trained):
    """Its classes are made of the specification: they know each facet's version, keys and types."""
    pytest.importorskip("openlineage.client", reason="needs openlineage-python")
    from openlineage.client import event_v2
    from openlineage.client.facet_v2 import column_lineage_dataset, job_type_job, schema_dataset, sql_job
    from openlineage.client.serde import Serde

    graph = lineage(None, [trained], [], ["serving.yaml"])
    at = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    for event in events(graph, "shop", at, {"items": "SELECT 1"}):

        def facet(kind, told):
            assert told["_schemaURL"] == kind._get_schema()
            return {key: value for key, value in told.items() if not key.startswith("_")}

        def dataset(kind, told):
            facets = {}
            schema = facet(schema_dataset.SchemaDatasetFacet, told["facets"]["schema"])
            fields = [schema_dataset.SchemaDatasetFacetFields(**field) for field in schema["fields"]]
            facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
            if "columnLineage" in told["facets"]:
                own = facet(column_lineage_dataset.ColumnLineageDatasetFacet, told["facets"]["columnLineage"])
                of_fields = {}
                for name, field in own["fields"].items():
                    inputs = [
                        column_lineage_dataset.InputField(
                            **{
                                **one,
                                "transformations": [
                                    column_lineage_dataset.Transformation(**t) for t in one["transformations"]
                                ],
                            }
                        )
                        for one in field["inputFields"]
                    ]
                    assert {t.type for one in inputs for t in one.transformations} <= {"DIRECT", "INDIRECT"}
                    of_fields[name] = column_lineage_dataset.Fields(inputFields=inputs)
                facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(fields=of_fields)
            return kind(namespace=told["namespace"], name=told["name"], facets=facets)

        job = event["job"]
        kinds = {"jobType": job_type_job.JobTypeJobFacet, "sql": sql_job.SQLJobFacet}
        facets = {name: kinds[name](**facet(kinds[name], told)) for name, told in job["facets"].items()}
        made = event_v2.JobEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            job=event_v2.Job(namespace=job["namespace"], name=job["name"], facets=facets),
            inputs=[dataset(event_v2.InputDataset, one) for one in event["inputs"]],
            outputs=[dataset(event_v2.OutputDataset, one) for one in event["outputs"]],
        )
        assert event["schemaURL"] == made.schemaURL
        assert json.loads(Serde.to_json(made))["job"]["name"] == job["name"]


# ------------------------------------------------------------------------------------------------- page


ODD = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def shown(here, trained, browser):
    config = yaml.safe_load((here / "store.yaml").read_text())
    config["views"][0]["description"] = ODD
    config["views"][0]["fields"][1]["description"] = ODD
    (here / "store.yaml").write_text(yaml.safe_dump(config))
    assert command(trained, "--html", "lineage.html") == 0
    browser.open(f"file://{here}/lineage.html")
    return browser


def visible(browser):
    script = "[...document.querySelectorAll('.node')].filter(b => b.offsetParent).map(b => b.dataset.id)"
    return set(browser.run(script))


def click(browser, node):
    browser.run(f"document.querySelector('.node[data-id=\"{node}\"]').click()")


@pytest.mark.slow
def test_a_person_filters_and_clicks_the_graph(shown):
    everything = visible(shown)
    assert {"column:warehouse/items.price", "field:items.price", "model:ctr"} < everything
    click(shown, "column:warehouse/items.price")
    found = visible(shown)
    assert "feature:ctr.price_x_cate" in found
    assert "endpoint:127.0.0.1:8123/ctr" in found
    assert not found & {"feature:ctr.cate", "column:shop.age", "label:ctr.click"}
    assert shown.run("document.querySelectorAll('#threads path').length") >= 7
    shown.run("document.getElementById('gone').click()")
    told = shown.run("document.getElementById('told').textContent")
    assert told.startswith("without warehouse/items.price: models broken: ctr; versions broken: ctr@")
    assert told.endswith("endpoints broken: 127.0.0.1:8123/ctr")
    shown.run("document.getElementById('gone').click()")
    click(shown, "column:warehouse/items.price")
    assert visible(shown) == everything
    shown.run("document.getElementById('find').value = 'AGE'")
    shown.run("document.getElementById('find').dispatchEvent(new Event('input', {bubbles: true}))")
    assert visible(shown) == {"column:shop.age", "feature:ctr.age", "input:ctr.deep/age"}
    shown.run("document.querySelector('.kind input[name=feature]').click()")
    assert visible(shown) == {"column:shop.age", "input:ctr.deep/age"}
    assert shown.complaints() == []


@pytest.mark.slow
def test_a_link_leads_to_a_node_and_labels_stop_training_alone(shown):
    address = shown.run("location.href")
    shown.open(f"{address}#label%3Actr.click")
    shown.run("document.getElementById('gone').click()")
    told = shown.run("document.getElementById('told').textContent")
    assert told == "without ctr.click: cannot be trained again: ctr"


@pytest.mark.slow
def test_texts_of_users_are_texts_and_no_other_script_runs(shown):
    click(shown, "field:items.cate")
    assert ODD in shown.run("document.getElementById('facts').textContent")
    assert shown.run("document.querySelectorAll('img').length") == 0
    shown.run("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)")
    assert shown.run("window.ran") is None
    assert any("Content Security Policy" in str(told) for told in shown.complaints())
