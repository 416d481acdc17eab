-- A database that the program wrote when 0001 was its newest revision.
BEGIN TRANSACTION;
CREATE TABLE agents (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	declaration TEXT NOT NULL, 
	mode VARCHAR(16) NOT NULL, 
	paused BOOLEAN NOT NULL, 
	judge_enabled BOOLEAN NOT NULL, 
	first_seen DOUBLE NOT NULL, 
	last_seen DOUBLE NOT NULL, 
	rung SMALLINT NOT NULL, 
	actions BIGINT NOT NULL, 
	flagged BIGINT NOT NULL, 
	blocked BIGINT NOT NULL, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(organisation_id) REFERENCES organisations (id)
);
INSERT INTO "agents" VALUES(1,1,'billing','{"tools": ["issue_refund"], "destinations": [], "purpose": ""}','observe',0,1,1790000000.0,1790000001.0,1,2,1,1,3);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE api_keys (
	id VARCHAR(32) NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	prefix VARCHAR(32) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	scope VARCHAR(16) NOT NULL, 
	agent VARCHAR(256) NOT NULL, 
	created_at DOUBLE NOT NULL, 
	last_used_at DOUBLE NOT NULL, 
	revoked_at DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(organisation_id) REFERENCES organisations (id), 
	UNIQUE (hash)
);
INSERT INTO "api_keys" VALUES('k1',1,'my-agent','kz_live_abcd','abababababababababababababababababababababababababababababababab','agent','',1790000000.0,0.0,0.0);
CREATE TABLE baselines (
	agent_id INTEGER NOT NULL, 
	state BLOB NOT NULL, 
	updated_at DOUBLE NOT NULL, 
	PRIMARY KEY (agent_id), 
	FOREIGN KEY(agent_id) REFERENCES agents (id)
);
CREATE TABLE hours (
	agent_id INTEGER NOT NULL, 
	hour INTEGER NOT NULL, 
	actions BIGINT NOT NULL, 
	flagged BIGINT NOT NULL, 
	blocked BIGINT NOT NULL, 
	reviews BIGINT NOT NULL, 
	PRIMARY KEY (agent_id, hour), 
	FOREIGN KEY(agent_id) REFERENCES agents (id)
);
INSERT INTO "hours" VALUES(1,497222,2,1,1,0);
CREATE TABLE organisations (
	id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	created_at DOUBLE NOT NULL, 
	revision INTEGER NOT NULL, 
	org_policy TEXT NOT NULL, 
	boundary_secret BLOB NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "organisations" VALUES(1,'default',1790000000.0,4,'{}',X'7373737373737373737373737373737373737373737373737373737373737373');
CREATE TABLE policies (
	organisation_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	mode VARCHAR(64) NOT NULL, 
	rules TEXT NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	created_at DOUBLE NOT NULL, 
	PRIMARY KEY (organisation_id, name), 
	FOREIGN KEY(organisation_id) REFERENCES organisations (id)
);
INSERT INTO "policies" VALUES(1,'hosts','blocklist','{"domains": ["bad.example"]}',1,1790000000.0);
CREATE TABLE sessions (
	token_hash VARCHAR(64) NOT NULL, 
	user_id INTEGER NOT NULL, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	PRIMARY KEY (token_hash), 
	FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE TABLE sign_in_links (
	token_hash VARCHAR(64) NOT NULL, 
	user_id INTEGER NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	PRIMARY KEY (token_hash), 
	FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE TABLE suppressions (
	agent_id INTEGER NOT NULL, 
	signature VARCHAR(64) NOT NULL, 
	verdict_id VARCHAR(32) NOT NULL, 
	created_at DOUBLE NOT NULL, 
	PRIMARY KEY (agent_id, signature), 
	FOREIGN KEY(agent_id) REFERENCES agents (id)
);
INSERT INTO "suppressions" VALUES(1,'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','03165e987e800001',1790000000.0);
CREATE TABLE users (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	password VARCHAR(512) NOT NULL, 
	created_at DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(organisation_id) REFERENCES organisations (id), 
	UNIQUE (name)
);
INSERT INTO "users" VALUES(1,1,'admin','admin','scrypt$x',1790000000.0);
CREATE TABLE verdicts (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	agent_id INTEGER NOT NULL, 
	created_at DOUBLE NOT NULL, 
	origin SMALLINT NOT NULL, 
	source VARCHAR(256) NOT NULL, 
	rung SMALLINT NOT NULL, 
	kind VARCHAR(256) NOT NULL, 
	tool VARCHAR(256) NOT NULL, 
	publisher VARCHAR(256) NOT NULL, 
	target TEXT NOT NULL, 
	hash VARCHAR(256) NOT NULL, 
	metadata TEXT NOT NULL, 
	more TEXT NOT NULL, 
	action_id VARCHAR(256) NOT NULL, 
	run_id VARCHAR(256) NOT NULL, 
	act_id VARCHAR(256) NOT NULL, 
	action_key BIGINT, 
	decision SMALLINT NOT NULL, 
	severity SMALLINT NOT NULL, 
	reason TEXT NOT NULL, 
	evidence TEXT NOT NULL, 
	confidence DOUBLE, 
	notes TEXT NOT NULL, 
	policy_version VARCHAR(256) NOT NULL, 
	status SMALLINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "verdicts" VALUES(222469240651776000,1,1,1790000000.0,0,'sdk',1,'tool_call','issue_refund','','','','{}','','1','','',6404955742882301003,0,0,'ok','',NULL,'','',0);
INSERT INTO "verdicts" VALUES(222469240651776001,1,1,1790000001.0,1,'sdk',1,'tool_call','wire_money','','attacker.example:443','','{}','','2','','',1756622290316435697,1,3,'blocked','[{"kind":"undeclared tool","value":"wire_money","source":"declaration","detection":"declaration"}]',NULL,'','',0);
CREATE UNIQUE INDEX agents_by_name ON agents (organisation_id, name);
CREATE INDEX verdicts_by_organisation ON verdicts (organisation_id, id);
CREATE INDEX verdicts_by_agent ON verdicts (agent_id, id);
CREATE UNIQUE INDEX verdicts_once ON verdicts (agent_id, action_key) WHERE action_key IS NOT NULL;
CREATE INDEX verdicts_flagged ON verdicts (organisation_id, id) WHERE severity > 0;
CREATE INDEX verdicts_reviewed ON verdicts (organisation_id, status, id) WHERE status > 0;
COMMIT;
