# SPDX-License-Identifier: Apache-2.0
# For tests with TLS: a CA of their own, and certificates that it vouches for. The commands are those
# of docs/security.md.

# make_ca NAME: $TMP/NAME.pem and $TMP/NAME.key.
make_ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
		-subj "/CN=Ebb test $1" -keyout "$TMP/$1.key" -out "$TMP/$1.pem" 2>>"$TMP/openssl.log"
}
# make_cert CA NAME SAN [DAYS]: $TMP/NAME.pem and $TMP/NAME.key, for servers and clients.
make_cert() {
	printf 'subjectAltName = %s\nextendedKeyUsage = serverAuth, clientAuth\n' "$3" >"$TMP/$2.ext"
	{
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
			-subj "/CN=$2" -keyout "$TMP/$2.key" -out "$TMP/$2.csr" &&
			openssl x509 -req -in "$TMP/$2.csr" -CA "$TMP/$1.pem" -CAkey "$TMP/$1.key" \
				-CAcreateserial -days "${4:-365}" -extfile "$TMP/$2.ext" -out "$TMP/$2.pem"
	} 2>>"$TMP/openssl.log"
}
