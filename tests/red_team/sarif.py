"""The part of SARIF 2.1.0 (OASIS Standard) that our writer may use, as a JSON schema: closed, so that nothing else gets in."""

from __future__ import annotations


def closed(required, **properties):
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


TEXT = {"type": "string", "minLength": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
MESSAGE = closed("text", text=TEXT)  # 3.11
BAG = {"type": "object"}  # 3.8
RULE = closed(  # 3.49
    "id",
    id=TEXT,
    name={"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
    shortDescription=MESSAGE,
    defaultConfiguration=closed("level", level=LEVEL),
    properties=closed("tags", tags={"type": "array", "items": TEXT, "uniqueItems": True}),
)
LOCATION = closed(  # 3.28
    "",
    physicalLocation=closed(
        "artifactLocation",
        artifactLocation=closed("uri", uri={"type": "string", "format": "uri-reference", "pattern": "^[^ \\\\]+$"}),
        region=closed("startLine", startLine={"type": "integer", "minimum": 1}),
    ),
    logicalLocations={
        "type": "array",
        "items": closed("fullyQualifiedName", fullyQualifiedName=TEXT, kind=TEXT),
        "minItems": 1,
    },
)
RESULT = closed(  # 3.27
    "message ruleId",
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations={"type": "array", "items": LOCATION},
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
    suppressions={
        "type": "array",
        "items": closed(
            "kind",
            kind={"enum": ["inSource", "external"]},
            status={"enum": ["accepted", "underReview", "rejected"]},
            justification=TEXT,
        ),
    },
)
RUN = closed(  # 3.14
    "tool results",
    tool=closed(
        "driver",
        driver=closed("name", name=TEXT, version=TEXT, rules={"type": "array", "items": RULE, "uniqueItems": True}),
    ),
    invocations={
        "type": "array",
        "items": closed("executionSuccessful", executionSuccessful={"type": "boolean"}, commandLine=TEXT),
    },
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": "array", "items": RESULT},
    properties=BAG,
)
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **closed(
        "version runs",
        **{"$schema": {"type": "string", "format": "uri"}},
        version={"const": "2.1.0"},
        runs={"type": "array", "items": RUN},
    ),
}
