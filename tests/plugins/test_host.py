"""Every way a plugin can be bad is reported by name, and the rest works."""

import json

import pytest

from .conftest import GOOD

BAD = {
    "import fails": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "exits at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "misspelt hook": (
        """
        from synapse_core.hookspecs import hookimpl

        @hookimpl
        def synapse_atention():
            return ()
        """,
        "synapse_atention",
    ),
    "hook raises": (
        """
        from synapse_core.hookspecs import hookimpl

        @hookimpl
        def synapse_ops():
            raise ValueError("not today")
        """,
        "ValueError: not today",
    ),
    "hook returns a list": (
        """
        from synapse_core.hookspecs import hookimpl

        @hookimpl
        def synapse_ops():
            return []
        """,
        "returned list",
    ),
    "kind of another hook": (
        """
        from synapse_core.hookspecs import Provides, hookimpl

        @hookimpl
        def synapse_ops():
            return (Provides("norm", "x", "a:b", ""),)
        """,
        "provides kind 'norm', it must be 'op'",
    ),
    "factory without a colon": (
        """
        from synapse_core.hookspecs import Provides, hookimpl

        @hookimpl
        def synapse_ops():
            return (Provides("op", "x", "a.b", ""),)
        """,
        "'package.module:object'",
    ),
}


def states(site, **environment):
    process = site.synapse("plugins", "--json", **environment)
    assert process.returncode == 0, process.stderr
    return {p["name"]: p for p in json.loads(process.stdout)["plugins"]}


def test_good_plugin_is_listed_with_what_it_provides(site):
    site.install("acme-good", GOOD)
    report = states(site)["acme_good"]
    assert (report["state"], report["distribution"]) == ("ok", "acme-good")
    assert report["provides"][0]["name"] == "acme_good"


@pytest.mark.parametrize("fault", BAD)
def test_bad_plugin_is_broken_with_its_reason_and_the_rest_works(site, fault):
    source, reason = BAD[fault]
    site.install("acme-bad", source)
    site.install("acme-good", GOOD)
    found = states(site)
    assert found["acme_bad"]["state"] == "broken"
    assert reason in found["acme_bad"]["reason"]
    assert found["acme_good"]["state"] == "ok"
    assert found["core"]["state"] == "ok"


def test_keyboard_interrupt_at_import_is_not_swallowed(site):
    site.install("acme-stop", "raise KeyboardInterrupt")
    assert site.synapse("plugins").returncode == 130


def test_other_contract_version_is_seen_without_importing(site):
    site.install("acme-next", "raise SystemExit('imported')", group="synapse.v2")
    report = states(site)["acme_next"]
    assert report["state"] == "incompatible"
    assert "'synapse.v2'" in report["reason"]
    assert "'synapse.v1'" in report["reason"]


def test_plugin_says_why_it_cannot_work_here(site):
    site.install("acme-metal", "def unavailable_reason():\n    return 'needs macOS 14'\n")
    report = states(site)["acme_metal"]
    assert (report["state"], report["reason"]) == ("unavailable", "needs macOS 14")


def test_plugins_can_be_switched_off(site):
    site.install("acme-one", GOOD)
    site.install("acme-two", GOOD)
    found = states(site, SYNAPSE_DISABLE_PLUGINS="acme_one, x")
    assert (found["acme_one"]["state"], found["acme_two"]["state"]) == ("disabled", "ok")
    found = states(site, SYNAPSE_PLUGINS_ONLY="acme_one")
    assert (found["acme_one"]["state"], found["acme_two"]["state"]) == ("ok", "disabled")


def test_strict_mode_stops_at_the_first_fault(site):
    site.install("acme-bad", "raise SystemExit(3)")
    process = site.synapse("plugins", SYNAPSE_STRICT="1")
    assert process.returncode == 4
    assert process.stderr.startswith("synapse: plugin 'acme_bad' of acme-bad is broken")
    assert process.stderr.count("\n") == 1


def test_one_name_of_two_providers_must_be_chosen(site):
    source = GOOD.replace("{name}", "shared")
    site.install("acme-one", source)
    site.install("acme-two", source)
    process = site.python(
        """
        from synapse_core.plugins import default_host
        host = default_host()
        print(host.get("attention", "shared@acme-two").__module__)
        try:
            host.get("attention", "shared")
        except Exception as error:
            print(type(error).__name__, error)
        """
    )
    chosen, conflict = process.stdout.splitlines()
    assert chosen == "acme_two_parts"
    assert conflict == (
        "PluginConflict attention 'shared' is provided by acme-one and acme-two;"
        " say shared@acme-one or shared@acme-two"
    )


def test_two_distributions_with_one_plugin_name_are_both_reported(site):
    site.install("acme-one", GOOD, plugin="acme")
    site.install("acme-two", GOOD, plugin="acme")
    process = site.synapse("plugins", "--json")
    acme = [p for p in json.loads(process.stdout)["plugins"] if p["name"] == "acme"]
    assert [p["state"] for p in acme] == ["broken", "broken"]
    assert {p["distribution"] for p in acme} == {"acme-one", "acme-two"}


def test_factory_that_does_not_import_names_plugin_and_reason(site):
    site.install("acme-late", GOOD.replace("{module}_parts:Thing", "{module}_parts:Other"))
    process = site.python(
        """
        from synapse_core.plugins import default_host
        try:
            default_host().get("attention", "acme_late")
        except Exception as error:
            print(type(error).__name__, error)
        """
    )
    assert process.stdout.startswith("PluginError attention 'acme_late' of plugin 'acme_late'")
    assert "AttributeError" in process.stdout


def test_unknown_names_suggest_and_say_what_to_install(site):
    process = site.python(
        """
        from synapse_core.plugins import Host, Selection
        host = Host.discover()
        host.reports = tuple(r for r in host.reports if r.name == "core")
        host.providers = {key: p for key, p in host.providers.items() if p[0].plugin == "core"}
        for kind, name in (
            ("attention", "gpa"), ("backend", "cpu"), ("model", "llama"), ("norm", "x@nobody")
        ):
            try:
                host.get(kind, name)
            except Exception as error:
                print(error)
        """
    )
    near, backend, model, nobody = process.stdout.splitlines()
    assert near == "no attention 'gpa' is installed; did you mean 'gqa'?"
    assert backend.endswith("there are: numpy; to install: pip install 'synapse[cpu]'")
    assert model.startswith("no model 'llama' is installed; to install: pip install 'synapse[")
    assert "decoder" in model.removesuffix("]'").partition("[")[2].split(",")
    assert nobody == "norm 'x' is not provided by 'nobody'; it is by nobody"


def test_a_plugin_that_is_off_is_named_where_its_name_is_missed(site):
    process = site.synapse("run", "--backend", "cpu", SYNAPSE_DISABLE_PLUGINS="cpu")
    assert process.returncode == 2
    assert "(plugin cpu is disabled: see `synapse plugins`)" in process.stderr


def test_why_tells_all_about_one_plugin(site):
    site.install("acme-good", GOOD)
    process = site.synapse("plugins", "--why", "acme-good")
    assert "acme_good_parts:Thing" in process.stdout
    missing = site.synapse("plugins", "--why", "nope")
    assert (missing.returncode, missing.stdout) == (2, "")


def test_components_lists_a_kind(site):
    site.install("acme-good", GOOD)
    process = site.synapse("components", "attention", "--json")
    names = [c["name"] for c in json.loads(process.stdout)["components"]]
    core = {"gqa", "mha", "mqa", "sliding_window"}
    assert [name for name in names if name in {"acme_good", *core}] == ["acme_good", *sorted(core)]
    assert site.synapse("components", "nonsense").returncode == 2


def test_doctor_is_content_and_finds_a_fault(site):
    assert site.synapse("doctor").returncode == 0
    site.install("acme-bad", "raise SystemExit(3)")
    process = site.synapse("doctor", "--json")
    assert process.returncode == 1
    findings = {f["name"]: f for f in json.loads(process.stdout)["findings"]}
    assert not findings["plugin acme_bad"]["ok"]


def test_doctor_knows_the_other_project_of_that_name(site):
    site.install("synapse", "", plugin="other", group="console", version="2.256.0")
    process = site.synapse("doctor", "--json")
    findings = {f["name"]: f for f in json.loads(process.stdout)["findings"]}
    assert findings["synapse"] == {
        "name": "synapse",
        "ok": False,
        "found": "2.256.0 is another project; uninstall it, install ours",
    }
