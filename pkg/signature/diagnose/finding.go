package diagnose

import (
	"fmt"
	"maps"
)

// Code names a finding for programs.
type Code string

// What can be found. The words to each are in texts.
const (
	NoSecret    Code = "no_secret"
	NoSignature Code = "no_signature"
	OtherSecret Code = "other_secret"
	// The body.
	TrailingNewline Code = "trailing_newline"
	Blanks          Code = "blanks_around_body"
	ByteOrderMark   Code = "byte_order_mark"
	Rewritten       Code = "rewritten_json"
	Quoted          Code = "quoted_json"
	Base64Body      Code = "base64_body"
	HTMLEscaped     Code = "html_escaped"
	EmptyBody       Code = "empty_body"
	CutBody         Code = "cut_body"
	NotJSON         Code = "not_json"
	// The secret.
	SecretBlanks  Code = "blanks_around_secret"
	SecretQuotes  Code = "quotes_around_secret"
	SecretLine    Code = "secret_with_name"
	PrefixCut     Code = "secret_prefix_cut"
	PrefixAdded   Code = "secret_prefix_added"
	SecretBase64  Code = "base64_secret"
	SecretHex     Code = "hex_secret"
	SecretEscaped Code = "escaped_secret"
	OlderSecret   Code = "older_secret"
	SecretURLSafe Code = "secret_for_urls"
	// The headers.
	PrefixMissing  Code = "signature_prefix_missing"
	PrefixTooMuch  Code = "signature_prefix_unexpected"
	Base64ForHex   Code = "base64_for_hex"
	HexForBase64   Code = "hex_for_base64"
	OtherCase      Code = "upper_case_hex"
	HeaderBlanks   Code = "blanks_in_header"
	VersionMissing Code = "signature_version_missing"
	Joined         Code = "signatures_joined"
	Milliseconds   Code = "timestamp_in_milliseconds"
	BadTimestamp   Code = "timestamp_unreadable"
	OldTimestamp   Code = "old_timestamp"
	EarlyTimestamp Code = "early_timestamp"
	ChangedTime    Code = "id_or_timestamp_changed"
	ChangedHeader  Code = "header_changed"
	CutHeader      Code = "signature_not_whole"
	NoStandard     Code = "no_standard_headers"
	// What the receiver's own code came to.
	ComputedRight   Code = "computed_right"
	ComputedMistake Code = "computed_mistake"
	ComputedUnknown Code = "computed_unknown"
)

type text struct{ message, advice string }

const (
	rawBytes = "Compute the signature of the bytes as they came over the network, before anything parses or changes them: " +
		"the programs in docs/receivers show how."
	copySecret = "Copy the secret once more, or give the webhook a new one, and pass it on unchanged."
)

// texts are the words to each code. A percent sign stands for what [found] is given.
func texts() map[Code]text {
	all := map[Code]text{
		NoSecret: {"There is no secret to verify with.", "Pass the webhook's secret. Without one nothing can be trusted."},
		NoSignature: {
			"None of the signature headers is there.",
			"Either the webhook has no secret (set one), or a proxy or the framework dropped the headers: look at what arrives first.",
		},
		OtherSecret: {
			"No usual mistake explains it: most likely the delivery was signed with another secret, or its body was changed on the way.",
			"Check that the secret is the one of this very webhook (X-Dembrane-Delivery leads to it in the delivery log). " +
				"When in doubt rotate the secret, send a test, and compare again.",
		},
		ComputedRight:   {"What the receiver computed is right: %s.", "Compare it with that header."},
		ComputedMistake: {"What the receiver computed is %s.", ""},
		ComputedUnknown: {"What the receiver computed is none of the usual mistakes.", "Print the length of the body and of the secret that your code really uses, and compare both."},
	}
	for _, part := range []map[Code]text{bodyTexts(), secretTexts(), headerTexts()} {
		maps.Copy(all, part)
	}
	return all
}

func bodyTexts() map[Code]text {
	return map[Code]text{
		TrailingNewline: {
			"The body ends in a line break that was not sent.",
			"Read the body as bytes, not line by line; an editor, `echo` or a shell's here-document adds one, too.",
		},
		Blanks:        {"There are blanks or line breaks around the body that were not sent.", rawBytes},
		ByteOrderMark: {"The body begins with a byte order mark that was not sent.", "Save and read it as UTF-8 without a byte order mark."},
		Rewritten:     {"The body was parsed and written anew: %s.", rawBytes},
		Quoted:        {"The body is a JSON string with the real body in it: it was encoded once too often.", rawBytes},
		Base64Body: {
			"The body is base64 of the real body.",
			"Decode it first. API Gateway and Lambda say so with isBase64Encoded.",
		},
		HTMLEscaped: {"Quotes and other characters of the body are escaped as HTML.", "Do not take the body out of a web page: use the bytes that arrived."},
		EmptyBody: {
			"The body is empty.",
			"Most often the framework has read it already: keep the raw bytes before it parses them.",
		},
		CutBody: {
			"The body breaks off after %d bytes: it is no complete JSON.",
			"Raise the limit of your server or proxy for request bodies: an event can have several megabytes.",
		},
		NotJSON: {"The body is not JSON, so it is not what was sent.", rawBytes},
	}
}

func secretTexts() map[Code]text {
	return map[Code]text{
		SecretBlanks: {"The secret has blanks or a line break around it.", "Remove them: files and environment variables often bring one along."},
		SecretQuotes: {"The secret has quotation marks around it that do not belong to it.", "Remove them where it is set."},
		SecretLine:   {"The secret is a whole line NAME=value.", "Pass what is after the equals sign alone."},
		PrefixCut:    {"The secret lacks its beginning, whsec_.", "The prefix belongs to the secret: leave it there for X-Dembrane-Signature. The Standard Webhooks libraries remove it by themselves."},
		PrefixAdded:  {"The secret has whsec_ in front, and the webhook's has not.", "Pass it without. For a Standard Webhooks library, pass the raw bytes: docs/receiving.md says how."},
		SecretBase64: {"The secret is base64 of the webhook's secret.", "Decode it before use: Kubernetes shows secrets so, for example."},
		SecretHex:    {"The secret is written in hex.", "Pass its text, not the hex of it."},
		SecretEscaped: {
			"The secret is percent-encoded.", "Decode it before use: it went through a URL.",
		},
		SecretURLSafe: {"The secret has - and _ where the webhook's has + and /.", copySecret},
		OlderSecret: {
			"This is the older secret of a webhook whose secret was rotated: it verifies webhook-signature for now, and X-Dembrane-Signature no more.",
			"Take the new secret before the overlap ends.",
		},
	}
}

func headerTexts() map[Code]text {
	return map[Code]text{
		PrefixMissing: {"%s lacks its sha256= in front.", "Compare with the whole value, or remove the prefix on both sides."},
		PrefixTooMuch: {"%s has sha256= in front, which is how X-Webhook-Signature looks.", "Compare X-Dembrane-Signature with the hex alone."},
		Base64ForHex:  {"%s is in base64, and it is sent in hex.", "Compare hex with hex: something between has rewritten the header."},
		HexForBase64:  {"%s is in hex, and it is sent as v1, and base64.", "Compare base64 with base64: something between has rewritten the header."},
		OtherCase:     {"%s is in capitals, and it is sent in lower case.", "Compare without regard to case, or leave the header as it is."},
		HeaderBlanks:  {"There are blanks or quotation marks around the value of %s.", "Remove them: they are not part of the header."},
		VersionMissing: {
			"%s lacks its v1, in front.", "Leave the header as it came: the libraries expect it.",
		},
		Joined:       {"The signatures in %s are joined with commas; they are sent with a blank between them.", "Leave the header as it came: a proxy or framework has joined it."},
		Milliseconds: {"webhook-timestamp is in milliseconds, and it is sent in seconds.", "Leave the header as it came."},
		BadTimestamp: {"webhook-timestamp is no number of seconds.", "Leave the header as it came."},
		OldTimestamp: {
			"It was signed at %s, which is %s before the time it is checked at; the libraries take up to %s.",
			"For a delivery that was saved this is as it should be. If it has just arrived, the receiver's clock is fast, or somebody sends an old delivery again.",
		},
		EarlyTimestamp: {
			"It was signed at %s, which is %s after the time it is checked at; the libraries take up to %s.",
			"The receiver's clock is slow: let it be set by NTP.",
		},
		ChangedTime: {
			"webhook-signature does not fit, and the others do: webhook-id, webhook-timestamp or the signature itself was changed.",
			"Take all three headers from the same attempt: each has a time and a signature of its own.",
		},
		ChangedHeader: {"%s does not fit, and webhook-signature does: that header was changed.", "Take all headers from the same attempt."},
		CutHeader:     {"%s is not whole, or something else was put in its place, so there is nothing to compare with.", "Save the headers once more, with their whole values: logs often cut them."},
		NoStandard: {
			"webhook-id, webhook-timestamp or webhook-signature is missing, so an old delivery that is sent again cannot be told.",
			"Let all headers through to the receiver.",
		},
	}
}

// found words a finding.
func found(code Code, args ...any) Finding {
	words := texts()[code]
	return Finding{Code: code, Message: fill(words.message, args), Advice: words.advice}
}

func fill(words string, args []any) string {
	if len(args) == 0 {
		return words
	}
	return fmt.Sprintf(words, args...)
}
