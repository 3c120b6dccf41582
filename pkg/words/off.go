package words

import "strings"

// Disabled says why the system switched a webhook off, and what to do about it. Of a
// reason that is not known, and of a webhook that a host switched off, it says what
// that means.
func Disabled(reason string, in Language) Sentence {
	row, ok := map[string]line{
		"gone": say(
			"The receiver is gone: it answered 410, which asks for no more deliveries.", "Switch the webhook on to try again.",
			"De ontvanger is er niet meer: die antwoordde 410 en wil geen bezorgingen meer.", "Zet de webhook aan om het opnieuw te proberen."),
		"failing": say(
			"Nothing could be delivered for five days, so we stopped trying.",
			"Check the URL, send a test, and switch the webhook on again.",
			"Vijf dagen lang kon niets worden bezorgd, daarom is het niet meer geprobeerd.",
			"Controleer het adres, verstuur een test en zet de webhook weer aan."),
	}[reason]
	if !ok {
		row = say("No events are sent to it.", "Switch the webhook on to have them sent.",
			"Er worden geen gebeurtenissen naartoe gestuurd.", "Zet de webhook aan om ze te laten versturen.")
	}
	return Sentence{Message: row.message[in], Advice: row.advice[in]}
}

// Off says of a webhook that is off that it is, and why: see [Disabled].
func Off(reason string, in Language) Sentence {
	said := Disabled(reason, in)
	intro := map[Language]string{English: "The webhook is off: ", Dutch: "De webhook staat uit: "}[in]
	said.Message = intro + strings.ToLower(said.Message[:1]) + said.Message[1:]
	return said
}
