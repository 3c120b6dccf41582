package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// explain turns an error of the transport into a reason and a sentence for a host.
// The sentence is made here, never taken from the error: errors name addresses,
// name servers and URLs. Connected says that the request had got a connection.
func explain(err error, connected bool) (webhooksv1.Reason, string) {
	if errors.Is(err, ErrForbidden) {
		return webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN, "The URL leads to an address to which webhooks are not sent."
	}
	if failed, ok := errors.AsType[*dialError](err); ok {
		if failed.stage == stageTLS {
			return explainTLS(failed)
		}
		return explainConnect(failed)
	}
	switch {
	case alerted(err):
		return webhooksv1.Reason_REASON_TLS, "The receiver ended the TLS connection."
	case disconnected(err):
		return webhooksv1.Reason_REASON_CONNECTION_CLOSED, "The receiver closed the connection before it answered."
	case !connected:
		return webhooksv1.Reason_REASON_INTERNAL, "The attempt could not be made because of a fault on our side."
	default:
		return webhooksv1.Reason_REASON_PROTOCOL, "The receiver's answer is not valid HTTP, or its headers are larger than " +
			strconv.Itoa(MaxHeader>>10) + " KiB."
	}
}

func explainConnect(failed *dialError) (webhooksv1.Reason, string) {
	if dns, ok := errors.AsType[*net.DNSError](failed); ok {
		if dns.IsNotFound {
			return webhooksv1.Reason_REASON_DNS, "The host name in the URL does not exist."
		}
		return webhooksv1.Reason_REASON_DNS, "The host name in the URL could not be looked up."
	}
	if _, ok := errors.AsType[*net.AddrError](failed); ok {
		return webhooksv1.Reason_REASON_REGISTRATION, "The webhook's URL cannot be used: its host or port is not valid."
	}
	switch {
	case failed.limit > 0:
		return webhooksv1.Reason_REASON_CONNECT, "The receiver did not accept a connection within " + failed.limit.String() + "."
	case errors.Is(failed, syscall.ECONNREFUSED):
		return webhooksv1.Reason_REASON_CONNECT, "The receiver refused the connection."
	default:
		return webhooksv1.Reason_REASON_CONNECT, "The receiver could not be reached."
	}
}

func explainTLS(failed *dialError) (webhooksv1.Reason, string) {
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](failed); ok {
		return webhooksv1.Reason_REASON_CERTIFICATE, explainCertificate(invalid)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](failed); ok {
		return webhooksv1.Reason_REASON_TLS, "The receiver does not speak TLS on this port; check whether the URL should begin with http://."
	}
	if failed.limit > 0 {
		return webhooksv1.Reason_REASON_TLS, "The receiver did not finish the TLS handshake within " + failed.limit.String() + "."
	}
	return webhooksv1.Reason_REASON_TLS, "The TLS handshake with the receiver failed."
}

func explainCertificate(invalid *tls.CertificateVerificationError) string {
	if _, ok := errors.AsType[x509.HostnameError](invalid); ok {
		return "The receiver's certificate is for another host name."
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](invalid); ok {
		return "The receiver's certificate is not signed by a known authority; it may be self-signed or lack its intermediate certificates."
	}
	if why, ok := errors.AsType[x509.CertificateInvalidError](invalid); ok && why.Reason == x509.Expired {
		return "The receiver's certificate has expired or is not valid yet."
	}
	return "The receiver's certificate is not valid."
}

// alerted reports whether the peer ended TLS with an alert after the handshake,
// as TLS 1.3 does when it wants a certificate from us.
func alerted(err error) bool {
	failed, ok := errors.AsType[*net.OpError](err)
	return ok && failed.Op == "remote error"
}

// disconnected reports whether the connection ended without anything wrong having
// been said on it.
func disconnected(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	if reset, ok := errors.AsType[streamError](err); ok {
		return reset.Code != protocolError
	}
	// Errors that net/http keeps to itself.
	text := err.Error()
	for _, part := range []string{
		"GOAWAY", "http2: Transport: cannot retry err", "http2: client conn", lostUnused,
	} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// streamError has the fields of net/http's own HTTP/2 stream error, which converts
// itself to any type that has them.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// protocolError is HTTP/2's PROTOCOL_ERROR.
const protocolError = 1

func (e streamError) Error() string { return "stream error " + strconv.Itoa(int(e.Code)) }
