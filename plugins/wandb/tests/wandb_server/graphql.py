"""The GraphQL operations that the client asks for, each a method of the operation's name."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from plugins.wandb.tests.wandb_server.sweeps import Run, Sweep

if TYPE_CHECKING:
    from plugins.wandb.tests.wandb_server.server import WandbServer

Data = dict[str, Any]


class GraphQLError(Exception):
    """An answer with ``errors`` and an HTTP status."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.status = status


class Operations:
    """Answers one operation at a time, under the server's lock."""

    def __init__(self, server: WandbServer) -> None:
        self._server = server

    def answer(self, query: str, variables: Data) -> Data:
        """Return the operation's ``data``."""
        found = re.search(r"\b(?:query|mutation)\s+(\w+)", query)
        name = found.group(1) if found else query
        self._server.operations.append(name)
        operation = getattr(self, name, None)
        if operation is None:
            raise GraphQLError(f"this server has no operation {name!r}", 400)
        data: Data = operation(variables)
        return data

    def Viewer(self, variables: Data) -> Data:
        entity = self._server.entity
        teams = {"edges": [{"node": {"name": entity}}]}
        viewer = {"id": "user:1", "entity": entity, "username": entity, "email": "", "flags": "{}"}
        return {"viewer": {**viewer, "admin": False, "teams": teams}}

    def GetDefaultEntity(self, variables: Data) -> Data:
        return {"viewer": {"id": "user:1", "entity": self._server.entity}}

    def ServerFeaturesQuery(self, variables: Data) -> Data:
        return {"serverInfo": {"features": []}}

    def UpsertSweep(self, variables: Data) -> Data:
        if variables.get("id"):
            sweep = self._by_id(variables["id"])
            sweep.state = variables["state"]
        else:
            entity = self._entity(variables, "entityName")
            project = variables.get("projectName") or "uncategorized"
            self._server.project(entity, project, create=True)
            sweep = Sweep.create(entity, project, variables["config"])
            self._server.sweeps[sweep.name] = sweep
        return {"upsertSweep": {"sweep": self._sweep(sweep), "configValidationWarnings": []}}

    def GetSweep(self, variables: Data) -> Data:
        entity, project = variables.get("entity"), variables.get("project")
        name = variables["name"]
        self._server.project(entity, project)
        sweep = self._server.sweeps.get(name)
        if sweep is None or (sweep.entity, sweep.project) != (entity, project):
            return {"project": {"sweep": None}}
        return {"project": {"sweep": self._sweep(sweep)}}

    GetSweepLegacy = GetSweep

    def CreateAgent(self, variables: Data) -> Data:
        sweep = self._server.sweeps.get(variables["sweep"])
        if sweep is None:
            raise GraphQLError(f"sweep {variables['sweep']} was not found", 404)
        agent = f"agent:{sweep.name}:{len(sweep.agents)}"
        sweep.agents.append(agent)
        return {"createAgent": {"agent": {"id": agent}}}

    def Heartbeat(self, variables: Data) -> Data:
        sweep = self._server.sweeps.get(variables["id"].split(":")[1])
        if sweep is None or sweep.state == "DELETED":
            raise GraphQLError("the agent's sweep was not found", 404)
        running = [name for name, runs in json.loads(variables["runState"]).items() if runs]
        command = sweep.command(running)
        commands = json.dumps([command] if command else [])
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": commands}}

    def UpsertBucket(self, variables: Data) -> Data:
        entity, project = self._entity(variables, "entity"), variables["project"]
        self._server.project(entity, project, create=True)
        name = variables.get("name") or variables["id"].split(":")[1]
        sweep = self._server.sweeps.get(variables.get("sweep") or "")
        runs = self._server.runs if sweep is None else sweep.runs
        run = self._server.run(name) or runs.setdefault(name, Run(name))
        inserted = run.state == "pending"
        if inserted:
            run.state = "running"
        if variables.get("config"):
            run.config = json.loads(variables["config"])
        if variables.get("summaryMetrics"):
            run.summary = json.loads(variables["summaryMetrics"])
        run.fields.update({name: item for name, item in variables.items() if item is not None})
        bucket = {
            "id": f"run:{name}",
            "name": name,
            "displayName": run.fields.get("displayName") or f"run-{name}",
            "description": None,
            "config": json.dumps(run.config),
            "sweepName": sweep.name if sweep else None,
            "project": self._project(entity, project),
            "historyLineCount": len(run.history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def RunResumeStatus(self, variables: Data) -> Data:
        return {"model": None}

    def OrganizationCoreWeaveOrganizationID(self, variables: Data) -> Data:
        return {"entity": None}

    def CreateRunFiles(self, variables: Data) -> Data:
        run = variables["run"]
        files = [
            {"name": name, "uploadUrl": f"{self._server.url}/storage/{run}/{name}"}
            for name in variables["files"]
        ]
        return {"createRunFiles": {"runID": f"run:{run}", "uploadHeaders": [], "files": files}}

    def MarkRunFilesUploaded(self, variables: Data) -> Data:
        return {"markRunFilesUploaded": {"success": True}}

    def _entity(self, variables: Data, key: str) -> str:
        entity = variables.get(key) or self._server.entity
        if entity != self._server.entity:
            raise GraphQLError(f"entity {entity} was not found", 404)
        return entity

    def _by_id(self, id: str) -> Sweep:
        return self._server.sweeps[id.split(":")[1]]

    def _sweep(self, sweep: Sweep) -> Data:
        return {
            "__typename": "Sweep",
            "id": sweep.id,
            "name": sweep.name,
            "displayName": sweep.config.get("name"),
            "method": sweep.config["method"],
            "state": sweep.state,
            "description": None,
            "config": json.dumps(sweep.config),
            "createdAt": "2025-01-01T00:00:00Z",
            "updatedAt": None,
            "bestLoss": None,
            "runCount": len(sweep.runs),
            "runCountExpected": None,
            "project": self._project(sweep.entity, sweep.project),
        }

    def _project(self, entity: str, name: str) -> Data:
        return {"id": f"project:{name}", "name": name, "entity": {"id": "entity:1", "name": entity}}
