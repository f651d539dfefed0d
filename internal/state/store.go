package state

// Every statement of this package. One text serves both engines.
const (
	lockWriter = `SELECT pg_advisory_xact_lock($1)`

	insertOutbox = `INSERT INTO outbox (seq, at, digest, body, log, idx, sum) VALUES ($1, $2, $3, $4, '', -1, $5)`
	nextOutbox   = `SELECT coalesce(max(seq), 0) + 1 FROM outbox`
	waiting      = `SELECT seq, at, digest, body FROM outbox WHERE idx < 0 ORDER BY seq LIMIT $1`
	markSent     = `UPDATE outbox SET log = $2, idx = $3, body = '', sum = $4 WHERE seq = $1 AND idx < 0`
	countWaiting = `SELECT count(*), coalesce(min(at), 0) FROM outbox WHERE idx < 0`
	refOf        = `SELECT log, idx FROM outbox WHERE digest = $1 AND idx >= 0 ORDER BY seq LIMIT 1`
	allOutbox    = `SELECT seq, at, digest, body, log, idx, sum FROM outbox ORDER BY seq`

	lastVersion   = `SELECT n, at FROM object_version WHERE kind = $1 AND id = $2 ORDER BY n DESC LIMIT 1`
	insertVersion = `INSERT INTO object_version
		(kind, id, n, at, actor_kind, actor_id, actor_name, what, salt, doc, seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	versionColumns = `SELECT v.kind, v.id, v.n, v.at, v.actor_kind, v.actor_id, v.actor_name, v.what, v.salt, v.doc, v.seq,
		coalesce(o.digest, ''), coalesce(o.log, ''), coalesce(o.idx, -1)
		FROM object_version v LEFT JOIN outbox o ON o.seq = v.seq`
	history     = versionColumns + ` WHERE v.kind = $1 AND v.id = $2 ORDER BY v.n`
	asOf        = versionColumns + ` WHERE v.kind = $1 AND v.id = $2 AND v.at <= $3 ORDER BY v.n DESC LIMIT 1`
	allVersions = versionColumns + ` ORDER BY v.kind, v.id, v.n`
)

// writerLock is the key of PostgreSQL's advisory lock that the one writer holds.
const writerLock int64 = 0x67617272_0001
