/* SPDX-License-Identifier: Apache-2.0 */
#include "couchdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "couchdb_json.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define TIMEOUT_MS 10000
/* A page of documents that are large for what they are: hosts with many cores and containers. */
#define RESPONSE_MAX    (256 * EBB_MIB)
#define CREDENTIALS_MAX 4096
/* Longer than that no server keeps us from the state. */
#define RETRY_AFTER_MAX_S  10
#define COOKIE_HEADER      "AuthSession="
#define COOKIE_LINE_PREFIX "Cookie: "

struct couchdb {
	struct couchdb_url url;
	char *ca_file;
	struct identity *identity;
	bool by_cookie;
	char *cookie; /* a whole header line; NULL: not logged in */
	const char *headers[2];
	bool (*stopped)(void *userdata);
	void *stopped_userdata;
	bool silent;             /* the last call found nobody who could say more than that */
	uint64_t quiet_until_ns; /* the server asked for it */
	struct http_session *http;
	char unreadable[JSON_ERROR_TEXT_LENGTH]; /* what is wrong with the last reply's JSON */
	char error[512];
};

/* --- Credentials ------------------------------------------------------------------------------ */

static void wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

/* The one line of `text`: cut there, or NULL with what is wrong with it. */
static const char *check_credentials(char *text, char **ret_user, char **ret_password)
{
	size_t len = strcspn(text, "\r\n");
	char *colon;

	if (text[len + strspn(text + len, "\r\n \t")])
		return "has more than one line";
	text[len] = '\0';
	colon = strchr(text, ':');
	if (!colon || colon == text || !colon[1])
		return "has no line USER:PASSWORD";
	*colon = '\0';
	*ret_user = text;
	*ret_password = colon + 1;
	return NULL;
}

static int read_credentials(const char *path, struct couchdb_url *url)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[CREDENTIALS_MAX], *user = NULL, *password = NULL;
	const char *wrong;
	struct stat st;
	ssize_t n;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(errno,
				       "Cannot read the file %s of --state-credentials: make it, "
				       "with one line USER:PASSWORD",
				       path);
	if (st.st_mode & S_IRWXO)
		log_warning("The file %s of --state-credentials is open to every user of this "
			    "machine; run: chmod o-rwx %s",
			    path, path);
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return log_error_errno(errno, "Cannot read the file %s of --state-credentials",
				       path);
	text[n] = '\0';
	wrong = n == sizeof(text) - 1 ? "is too long" : check_credentials(text, &user, &password);
	if (wrong) {
		log_error("The file %s of --state-credentials %s: give it one line USER:PASSWORD",
			  path, wrong);
		r = -EINVAL;
	} else {
		if (url->user)
			log_warning("The user and password in the state's URL do not count: those "
				    "of %s do",
				    path);
		free(url->user);
		wipe(url->password);
		url->user = strdup(user);
		url->password = strdup(password);
		if (!url->user || !url->password)
			r = -ENOMEM;
	}
	explicit_bzero(text, sizeof(text));
	return r;
}

int couchdb_new(const char *uri, const struct store_options *options, struct couchdb **ret_couch)
{
	struct couchdb *couch = calloc(1, sizeof(*couch));
	_cleanup_free_ char *why = NULL;
	int r;

	if (!couch)
		return -ENOMEM;
	r = couchdb_url_parse(uri, &couch->url, &why);
	if (r == -EINVAL)
		log_error("%s", why);
	if (r == 0 && options && options->credentials_file)
		r = read_credentials(options->credentials_file, &couch->url);
	couch->identity = options ? options->identity : NULL;
	if (r == 0 && options && options->ca_file) {
		couch->ca_file = strdup(options->ca_file);
		if (!couch->ca_file)
			r = -ENOMEM;
		else if (access(options->ca_file, R_OK) < 0)
			r = log_error_errno(errno, "Cannot read the file %s of --ca-file",
					    options->ca_file);
	}
	if (r == 0 && options && options->cookie && !couch->url.user) {
		log_error("--state-auth cookie needs a user and a password: give them with "
			  "--state-credentials FILE");
		r = -EINVAL;
	}
	if (r == 0) {
		couch->by_cookie = options && options->cookie;
		r = http_session_new(&couch->http);
	}
	if (r < 0) {
		couchdb_free(couch);
		return r;
	}
	*ret_couch = couch;
	return 0;
}

static int copy_text(const char *text, char **ret_copy)
{
	*ret_copy = text ? strdup(text) : NULL;
	return text && !*ret_copy ? -ENOMEM : 0;
}

int couchdb_copy(const struct couchdb *couch, struct couchdb **ret_couch)
{
	struct couchdb *copy = calloc(1, sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	copy->by_cookie = couch->by_cookie;
	r = copy_text(couch->url.server, &copy->url.server);
	if (r == 0)
		r = copy_text(couch->url.prefix, &copy->url.prefix);
	if (r == 0)
		r = copy_text(couch->url.user, &copy->url.user);
	if (r == 0)
		r = copy_text(couch->url.password, &copy->url.password);
	if (r == 0)
		r = copy_text(couch->ca_file, &copy->ca_file);
	copy->identity = couch->identity;
	if (r == 0)
		r = http_session_new(&copy->http);
	if (r < 0) {
		couchdb_free(copy);
		return r;
	}
	*ret_couch = copy;
	return 0;
}

void couchdb_free(struct couchdb *couch)
{
	if (!couch)
		return;
	couchdb_url_clear(&couch->url);
	wipe(couch->cookie);
	free(couch->ca_file);
	http_session_free(couch->http);
	free(couch);
}

void couchdb_reply_clear(struct couchdb_reply *reply)
{
	json_decref(reply->json);
	*reply = (struct couchdb_reply){0};
}

const char *couchdb_error(const struct couchdb *couch)
{
	return couch->error;
}

const char *couchdb_server(const struct couchdb *couch)
{
	return couch->url.server;
}

char *couchdb_db_name(const struct couchdb *couch, enum store_db db)
{
	char *name;

	return asprintf(&name, "%s%s", couch->url.prefix, store_db_name(db)) < 0 ? NULL : name;
}

char *couchdb_db_path(const struct couchdb *couch, enum store_db db, const char *rest)
{
	_cleanup_free_ char *name = couchdb_db_name(couch, db), *escaped = NULL;
	char *path;

	escaped = name ? http_escape(name) : NULL; /* a prefix may have a '/' */
	return !escaped || asprintf(&path, "/%s%s", escaped, rest) < 0 ? NULL : path;
}

/* --- What went wrong ---------------------------------------------------------------------------
 */

static int fail(struct couchdb *couch, int result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct couchdb *couch, int result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(couch->error, sizeof(couch->error), format, args);
	va_end(args);
	return result;
}

/* No answer came. */
static int explain_silence(struct couchdb *couch, const char *why)
{
	const char *advice = "";

	if (strcasestr(why, "certificate") || strcasestr(why, "SSL"))
		advice = "; if its certificate is your own, give the one that signed it with "
			 "--ca-file FILE";
	else if (strcasestr(why, "resolve host"))
		advice = "; correct the host in --state, or the name service";
	return fail(couch, -EAGAIN, "CouchDB: %s%s", why, advice);
}

static int explain_access(struct couchdb *couch, long status, const char *method, const char *path,
			  const char *reason)
{
	const char *server = couch->url.server;

	if (!couch->url.user)
		return fail(couch, -EACCES,
			    "CouchDB at %s wants a user and a password: give them with "
			    "--state-credentials FILE",
			    server);
	/* CouchDB says 401 too of what only others may do. */
	if (status == 401 && !strcasestr(reason, "you are not"))
		return fail(couch, -EACCES,
			    "CouchDB at %s refuses user %s: the name or the password is wrong; "
			    "correct --state-credentials, or both in --state",
			    server, couch->url.user);
	return fail(couch, -EACCES,
		    "CouchDB at %s does not let user %s do %s %s (%s): give the user that "
		    "right, or let an administrator do it",
		    server, couch->url.user, method, path, reason);
}

static bool speaks_of_full_disk(const char *reason)
{
	return strcasestr(reason, "enospc") || strcasestr(reason, "no space") ||
	       strcasestr(reason, "insufficient_storage");
}

static bool disk_is_full(long status, const char *reason)
{
	return status == 507 || (status == 500 && speaks_of_full_disk(reason));
}

/* Its "error" and "reason", "" when it says nothing. */
static void reason_of(const json_t *json, char *buffer, size_t size)
{
	const char *error = json_string_value(json_object_get(json, "error"));
	const char *reason = json_string_value(json_object_get(json, "reason"));

	snprintf(buffer, size, "%s%s%s", error ?: "", error && reason ? ": " : "", reason ?: "");
}

static int judge(struct couchdb *couch, const char *method, const char *path,
		 const struct couchdb_reply *reply)
{
	const char *server = couch->url.server;
	char reason[256];
	long status = reply->status;

	reason_of(reply->json, reason, sizeof(reason));
	if (status == 401 || status == 403)
		return explain_access(couch, status, method, path, reason);
	if (disk_is_full(status, reason))
		return fail(couch, -ENOSPC,
			    "CouchDB at %s has no room left on its disk (%ld %s): make some there",
			    server, status, reason);
	if (status == 408 || status == 429 || status >= 500)
		return fail(couch, -EAGAIN, "CouchDB at %s answers %ld%s%s to %s %s", server,
			    status, *reason ? " " : "", reason, method, path);
	if (reply->unreadable && status != 413)
		return fail(
			couch, -EBADMSG,
			"CouchDB at %s answers %s %s with what Ebb cannot read (%s): correct it "
			"there",
			server, method, path, couch->unreadable);
	if (!reply->json && strcmp(method, "HEAD") != 0 && status != 413)
		return fail(couch, -EPROTO,
			    "%s answers, but not as CouchDB does (%ld to %s %s): correct the "
			    "address in --state",
			    server, status, method, path);
	*couch->error = '\0';
	return 0;
}

int couchdb_fail(struct couchdb *couch, int result, const char *what,
		 const struct couchdb_reply *reply)
{
	char reason[256];

	reason_of(reply->json, reason, sizeof(reason));
	return fail(couch, result, "CouchDB at %s answers %ld%s%s to %s", couch->url.server,
		    reply->status, *reason ? " " : "", reason, what);
}

void couchdb_fail_document(struct couchdb *couch, const json_t *line)
{
	const char *id = json_string_value(json_object_get(line, "id"));
	char reason[256];

	reason_of(line, reason, sizeof(reason));
	if (speaks_of_full_disk(reason))
		fail(couch, 0, "CouchDB at %s has no room left on its disk (%s): make some there",
		     couch->url.server, reason);
	else
		fail(couch, 0, "CouchDB at %s does not write %s now: %s", couch->url.server,
		     id ?: "a document", *reason ? reason : "no reason given");
}

bool couchdb_is_silent(const struct couchdb *couch)
{
	return couch->silent;
}

void couchdb_set_stopped(struct couchdb *couch, bool (*stopped)(void *userdata), void *userdata)
{
	couch->stopped = stopped;
	couch->stopped_userdata = userdata;
}

/* --- Requests ----------------------------------------------------------------------------------
 */

/* A fresh one may come with any reply. */
static void take_cookie(struct couchdb *couch)
{
	const char *given = http_session_header(couch->http, "Set-Cookie");
	char *line;

	if (!couch->by_cookie || !given || strncasecmp(given, COOKIE_HEADER, strlen(COOKIE_HEADER)))
		return;
	/* An empty one is a farewell. */
	if (given[strlen(COOKIE_HEADER)] == ';' || !given[strlen(COOKIE_HEADER)])
		return;
	if (asprintf(&line, COOKIE_LINE_PREFIX "%.*s", (int)strcspn(given, ";"), given) < 0)
		return;
	wipe(couch->cookie);
	couch->cookie = line;
}

static void set_access(struct couchdb *couch, struct http_request_options *options)
{
	options->address = couch->url.server;
	options->ca_file = couch->ca_file;
	options->identity = couch->identity;
	options->without_token = true;
	if (couch->by_cookie) {
		couch->headers[0] = couch->cookie;
		couch->headers[1] = NULL;
		options->headers = couch->headers;
	} else {
		options->user = couch->url.user;
		options->password = couch->url.password;
	}
}

/* One round trip. -EAGAIN without an answer. */
static int exchange(struct couchdb *couch, const struct http_request_options *options,
		    struct couchdb_reply *ret_reply)
{
	struct couchdb_reply reply = {0};
	struct http_result result;
	const char *after;
	json_error_t why;
	double seconds;
	int r;

	r = http_session_call(couch->http, options, &result);
	if (r < 0)
		return fail(couch, r, "CouchDB: cannot send a request: %s", strerror(-r));
	reply.status = result.status;
	if (result.status == 0) {
		explain_silence(couch, result.error);
		http_result_clear(&result);
		return -EAGAIN;
	}
	reply.json = couchdb_json_load(result.body ?: "", result.body_len, &why);
	/* What gives up in the middle of JSON speaks it. */
	reply.unreadable =
		!reply.json && result.body && couchdb_json_like(result.body, result.body_len);
	snprintf(couch->unreadable, sizeof(couch->unreadable), "%s",
		 reply.unreadable ? why.text : "");
	after = http_session_header(couch->http, "Retry-After");
	if (after && parse_double(after, &seconds) == 0 && seconds > 0)
		reply.retry_after_s = MIN(seconds, RETRY_AFTER_MAX_S);
	take_cookie(couch);
	http_result_clear(&result);
	*ret_reply = reply;
	return 0;
}

static int login(struct couchdb *couch)
{
	_cleanup_json_ json_t *json =
		json_pack("{s:s, s:s}", "name", couch->url.user, "password", couch->url.password);
	char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
	struct http_request_options options = {
		.method = "POST",
		.address = couch->url.server,
		.path = "/_session",
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.timeout_ms = TIMEOUT_MS,
		.ca_file = couch->ca_file,
		.identity = couch->identity,
		.without_token = true,
		.stopped = couch->stopped,
		.stopped_userdata = couch->stopped_userdata,
	};
	struct couchdb_reply reply;
	int r;

	if (!body)
		return fail(couch, -EACCES,
			    "CouchDB: the user or the password is no text (UTF-8): correct it");
	wipe(couch->cookie);
	couch->cookie = NULL;
	r = exchange(couch, &options, &reply);
	wipe(body);
	if (r < 0)
		return r;
	r = judge(couch, "POST", "/_session", &reply);
	if (r == 0 && !couch->cookie)
		r = fail(couch, -EPROTO,
			 "CouchDB at %s gives no cookie (%ld to POST /_session): use --state-auth "
			 "basic",
			 couch->url.server, reply.status);
	couchdb_reply_clear(&reply);
	return r;
}

int couchdb_access(struct couchdb *couch, struct http_request_options *options)
{
	int r = couch->by_cookie && !couch->cookie ? login(couch) : 0;

	if (r == 0)
		set_access(couch, options);
	return r;
}

void couchdb_forget_cookie(struct couchdb *couch)
{
	wipe(couch->cookie);
	couch->cookie = NULL;
}

int couchdb_call(struct couchdb *couch, const char *method, const char *path, const char *body,
		 unsigned timeout_ms, struct couchdb_reply *ret_reply)
{
	struct http_request_options options = {
		.method = method,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.timeout_ms = timeout_ms ?: TIMEOUT_MS,
		.response_max = RESPONSE_MAX,
		.stopped = couch->stopped,
		.stopped_userdata = couch->stopped_userdata,
	};
	struct couchdb_reply reply = {0};
	uint64_t now = now_ns();
	int r = 0;

	*ret_reply = reply;
	couch->silent = true;
	if (now < couch->quiet_until_ns)
		return fail(couch, -EAGAIN, "CouchDB at %s asks to be left alone for %.0f s more",
			    couch->url.server,
			    (double)(couch->quiet_until_ns - now) / (double)EBB_NS_PER_SEC);
	for (int tries = 0; tries < 2; tries++) {
		bool fresh = couch->by_cookie && !couch->cookie;

		couchdb_reply_clear(&reply);
		r = couchdb_access(couch, &options);
		if (r == 0)
			r = exchange(couch, &options, &reply);
		/* A cookie lives ten minutes by default; its end is a 401. */
		if (r < 0 || reply.status != 401 || !couch->by_cookie || fresh)
			break;
		couchdb_forget_cookie(couch);
	}
	if (r == 0)
		r = judge(couch, method, path, &reply);
	couch->silent = r == -EAGAIN && (!reply.status || reply.status == 408 ||
					 reply.status == 429 || reply.status > 501);
	if (r == -EAGAIN && reply.retry_after_s > 0)
		couch->quiet_until_ns =
			now_ns() + (uint64_t)(reply.retry_after_s * (double)EBB_NS_PER_SEC);
	*ret_reply = reply;
	return r;
}
