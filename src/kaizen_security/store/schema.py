"""The tables, as the newest migration leaves them (a test compares the two).

Closed sets are kept as small integers (``codes.py``) and rows point at their agent by number: indexes are most of what a row costs.
Partial indexes hold only the few rows that people look for. Times are Unix seconds.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

organisations = Table(
    "organisations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(256), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("org_policy", Text, nullable=False),
    Column("boundary_secret", LargeBinary, nullable=False),
    Column("public_id", String(32), nullable=False, server_default=""),
    Index("organisations_by_public_id", "public_id", unique=True),
)

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("organisation_id", Integer, ForeignKey("organisations.id"), nullable=False),
    Column("name", String(256), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password", String(512), nullable=False),
    Column("created_at", Double, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)

links = Table(
    "sign_in_links",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("expires_at", Double, nullable=False),
)

keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("organisation_id", Integer, ForeignKey("organisations.id"), nullable=False),
    Column("name", String(256), nullable=False),
    Column("prefix", String(32), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("scope", String(16), nullable=False),
    Column("agent", String(256), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used_at", Double, nullable=False),
    Column("revoked_at", Double, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("organisation_id", Integer, ForeignKey("organisations.id"), nullable=False),
    Column("name", String(256), nullable=False),
    Column("declaration", Text, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("judge_enabled", Boolean, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("rung", SmallInteger, nullable=False),
    Column("actions", BigInteger, nullable=False),
    Column("flagged", BigInteger, nullable=False),
    Column("blocked", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Index("agents_by_name", "organisation_id", "name", unique=True),
)

baselines = Table(
    "baselines",
    metadata,
    Column("agent_id", Integer, ForeignKey("agents.id"), primary_key=True),
    Column("state", LargeBinary, nullable=False),
    Column("updated_at", Double, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("organisation_id", Integer, ForeignKey("organisations.id"), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("mode", String(64), nullable=False),
    Column("rules", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("agent_id", Integer, ForeignKey("agents.id"), primary_key=True),
    Column("signature", String(64), primary_key=True),
    Column("verdict_id", String(32), nullable=False),
    Column("created_at", Double, nullable=False),
)

folds = Table(
    "folds",
    metadata,
    Column("agent_id", Integer, ForeignKey("agents.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("action", Text, nullable=False),
)

profiles = Table(
    "profiles",
    metadata,
    Column("agent_id", Integer, ForeignKey("agents.id"), primary_key=True),
    Column("sidecar", String(64), primary_key=True),
    Column("at", Double, nullable=False),
    Column("document", Text, nullable=False),
)

attached = Table(
    "attached",
    metadata,
    Column("agent_id", Integer, ForeignKey("agents.id"), primary_key=True),
    Column("sidecar", String(64), primary_key=True),
    Column("at", Double, nullable=False),
    Column("document", Text, nullable=False),
)

coverage = Table(
    "coverage",
    metadata,
    Column("agent_id", Integer, ForeignKey("agents.id"), primary_key=True),
    Column("machine", String(64), nullable=False),
    Column("at", Double, nullable=False),
    Column("document", Text, nullable=False),
)

hours = Table(
    "hours",
    metadata,
    Column("agent_id", Integer, ForeignKey("agents.id"), primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("actions", BigInteger, nullable=False),
    Column("flagged", BigInteger, nullable=False),
    Column("blocked", BigInteger, nullable=False),
    Column("reviews", BigInteger, nullable=False),
)

exports = Table(
    "exports",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("organisation_id", Integer, ForeignKey("organisations.id"), nullable=False),
    Column("name", String(256), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("which", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("shown", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("problem", Text, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("delivered_at", Double, nullable=False),
    Column("since", BigInteger, nullable=False, server_default="0"),
    Index("exports_by_organisation", "organisation_id"),
)

parked = Table(
    "parked_exports",
    metadata,
    Column("export_id", String(32), ForeignKey("exports.id"), primary_key=True),
    Column("verdict_number", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("parked_at", Double, nullable=False),
    Column("again", Boolean, nullable=False),
)

joined = Table(
    "joined_exports",
    metadata,
    Column("export_id", String(32), ForeignKey("exports.id"), primary_key=True),
    Column("verdict_number", BigInteger, primary_key=True),
    Index("joined_exports_by_verdict", "verdict_number"),
)

holds = Table(
    "holds",
    metadata,
    Column("organisation_id", Integer, ForeignKey("organisations.id"), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("agent_id", Integer, ForeignKey("agents.id"), nullable=False),
    Column("sidecar", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("state", String(16), nullable=False),
    Column("answer", String(16), nullable=False),
    Column("answered_by", String(256), nullable=False),
    Column("answered_at", Double, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Index("holds_by_organisation", "organisation_id", "created_at"),
    Index("holds_by_agent", "agent_id"),
    Index(
        "holds_open",
        "organisation_id",
        sqlite_where=text("confirmed = 0"),
        postgresql_where=text("confirmed = false"),
    ),
)

models = Table(
    "models",
    metadata,
    Column("organisation_id", Integer, ForeignKey("organisations.id"), primary_key=True),
    Column("document", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", Double, nullable=False),
)

judge_usage = Table(
    "judge_usage",
    metadata,
    Column("organisation_id", Integer, ForeignKey("organisations.id"), primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("n", BigInteger, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("organisation_id", Integer, nullable=False),
    Column("agent_id", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("origin", SmallInteger, nullable=False),
    Column("source", String(256), nullable=False),
    Column("rung", SmallInteger, nullable=False),
    Column("kind", String(256), nullable=False),
    Column("tool", String(256), nullable=False),
    Column("publisher", String(256), nullable=False),
    Column("target", Text, nullable=False),
    Column("hash", String(256), nullable=False),
    Column("metadata", Text, nullable=False),
    Column("more", Text, nullable=False),
    Column("action_id", String(256), nullable=False),
    Column("run_id", String(256), nullable=False),
    Column("act_id", String(256), nullable=False),
    Column("action_key", BigInteger),
    Column("decision", SmallInteger, nullable=False),
    Column("severity", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("confidence", Double),
    Column("notes", Text, nullable=False),
    Column("policy_version", String(256), nullable=False),
    Column("status", SmallInteger, nullable=False),
)

Index("verdicts_by_organisation", verdicts.c.organisation_id, verdicts.c.id)
Index("verdicts_by_agent", verdicts.c.agent_id, verdicts.c.id)
Index(
    "verdicts_once",
    verdicts.c.agent_id,
    verdicts.c.action_key,
    unique=True,
    sqlite_where=text("action_key IS NOT NULL"),
    postgresql_where=text("action_key IS NOT NULL"),
)
Index(
    "verdicts_flagged",
    verdicts.c.organisation_id,
    verdicts.c.id,
    sqlite_where=text("severity > 0"),
    postgresql_where=text("severity > 0"),
)
Index(
    "verdicts_reviewed",
    verdicts.c.organisation_id,
    verdicts.c.status,
    verdicts.c.id,
    sqlite_where=text("status > 0"),
    postgresql_where=text("status > 0"),
)
Index(
    "verdicts_joined",
    verdicts.c.agent_id,
    verdicts.c.act_id,
    verdicts.c.id,
    sqlite_where=text("act_id <> action_id AND act_id <> ''"),
    postgresql_where=text("act_id <> action_id AND act_id <> ''"),
)
Index(
    "verdicts_telling",
    verdicts.c.agent_id,
    verdicts.c.act_id,
    verdicts.c.run_id,
    verdicts.c.decision,
    verdicts.c.severity,
    verdicts.c.rung,
    verdicts.c.id,
    sqlite_where=text("act_id <> action_id AND act_id <> ''"),
    postgresql_where=text("act_id <> action_id AND act_id <> ''"),
)
