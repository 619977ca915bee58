package terms

// minorDigits lists the currencies whose minor unit is not a hundredth, after
// ISO 4217.
var minorDigits = map[string]int32{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0,
	"PYG": 0, "RWF": 0, "UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
	"CLF": 4, "UYW": 4,
}

// MinorDigits is how many decimals amounts in an ISO 4217 currency have.
func MinorDigits(currency string) int32 {
	if d, ok := minorDigits[currency]; ok {
		return d
	}
	return 2
}
