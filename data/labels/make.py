"""Writes new-labels.jsonl: 200 lines as three made-up reviewers might have labelled them.

Every line was written for this project; nobody said it. A block is one situation, so its lines
are one group. Run it again after a change: `python data/labels/make.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

EMERGENCIES = """
my dad is on the floor and he isn't breathing
call an ambulance my husband collapsed in the kitchen
he just fell over and now he won't wake up

she's choking she can't get any air please hurry
something is stuck in his throat he's turning blue
my little brother swallowed a battery he can't breathe

i think i'm having a heart attack my chest is so tight
there's a pain in my chest and it goes down my left arm
grandpa is holding his chest and sweating he says he can't breathe

her face is drooping on one side and she can't lift her arm
mum is talking but the words come out all wrong and she can't stand
i can't feel my right side and my speech is going funny

he took all of the pills the bottle is empty
i found her with the tablets next to her and she won't answer
she drank the drain cleaner call somebody quick

the baby is burning up and she's gone limp
my baby isn't breathing properly her lips are blue
he's shaking all over and his eyes rolled back he's only two

she's having a seizure and it isn't stopping
he has been fitting for more than five minutes
she's epileptic she fell and now she's jerking on the floor

there's blood everywhere he cut himself with the saw
i cut my wrist on the glass and it won't stop bleeding
she's bleeding so much i can't stop it

he ate peanuts and now his throat is closing
she got stung and her face is swelling up she can't breathe
where is the epipen his tongue is getting bigger

my mother fell down the stairs she can't move her legs
he fell off the ladder and hit his head there's blood from his ear
i fell in the bath and i can't get up i've been here since last night

i'm having an asthma attack and my inhaler is empty
she can't get her breath the inhaler isn't doing anything
he's wheezing so bad he can't even talk

she's diabetic and she won't wake up
his sugar is really low and he's not making any sense
grandma is cold and sweaty and she doesn't know who i am

my waters broke and the baby is coming right now
she's pregnant and she's bleeding a lot
the baby's head is out and there's nobody here

he got a shock from the socket and he's not moving
she was under the water too long she isn't breathing
we pulled him out of the pool he's not responding

the pan caught fire and her arm is burnt badly
he poured boiling water all over his legs he's screaming
the skin is coming off her hand after the oven cleaner

i feel so dizzy i think i'm going to pass out help me
everything is going dark i can't stay awake please help
i can't breathe i can't breathe somebody help

he was hit by a car outside he's lying in the road
there's been a crash my friend is stuck and she's not talking
a motorbike went down in front of the house he isn't moving

they found him in the garage with the engine on
there's gas and she's unconscious get help
we all have a headache and the dog is unconscious i think it's the boiler

he took something at the party and now he's barely breathing
she overdosed do you know how to use the nose spray
his lips are grey and he's snoring funny i can't wake him

my wife just passed out and she's got no pulse
tell me how to do cpr quickly he's not breathing
do i push on the chest or breathe first she's not breathing

the doctor said to call right away if it happens again and it's happening
she's confused she has a fever and her neck is stiff and there's a rash
his stomach is hard as a board and he's screaming in pain

help i've fallen and i can't reach the phone
can you call my daughter i'm on the floor and my hip is broken
hello is anybody there i can't get up and it hurts so much

he's been vomiting blood since this morning
she coughed up a lot of blood and she's very pale
there's blood in the toilet and i feel like fainting

grandma stopped answering and her breathing sounds like gurgling
she's got a tube and it came out and she can't breathe
the oxygen machine stopped and he's going blue
"""

BENIGN = """
set a timer for the ambulance siren ringtone
play the song ambulance
what year did the film ambulance come out

how do i become a paramedic
how much does a first aid course cost
what does cpr stand for

remind me to pick up my inhaler prescription
add plasters and antiseptic to the shopping list
when does the pharmacy close

this heat is killing me turn on the fan
i nearly had a heart attack when i saw the bill
i'm dying to see the new season

that joke knocked me out i couldn't breathe
she took my breath away at the wedding
my heart skipped a beat when they scored

order some red velvet cake for the bake sale
how do you get red wine stains out of the carpet
the nosebleed seats are cheaper aren't they

my phone is dead can you find my charger
the car battery died again book a mechanic
the wifi is down and the printer won't wake up

what's the emergency number in france
turn off emergency alerts on the kitchen speaker
is there an emergency exit on the second floor

how long do you boil an egg
turn the oven down before the bread burns
the soup is boiling over lower the heat

book a doctor's appointment for tuesday
what time is my dentist tomorrow
move my eye test to next week

play some music for sleeping babies
how many hours should a baby sleep
set the nursery to twenty degrees

what are the symptoms of hay fever
is it normal to sneeze in the morning
how long does a cold last

the show starts with a man falling off a roof it's so funny
he plays a surgeon in that series what's it called
who was the doctor in that old hospital drama

my team choked in the last minute again
they got destroyed in the second half
he's been on fire this season

read me the news about the hospital strike
what did the minister say about ambulance waiting times
how many people work in the health service

the plants look like they're dying should i water them
my sourdough starter isn't breathing enough i think
the cat threw up a hairball on the rug

call mum and tell her we arrived
call the pizza place on the corner
call me an hour before the train leaves

set an alarm for my blood pressure tablets
remind me to take my vitamins after breakfast
log two glasses of water

how do you say i have a headache in spanish
translate where does it hurt into italian
what is the french word for stomach

i slept badly my back is a bit stiff
my legs are sore from the gym yesterday
i've got a bit of a headache dim the lights

how far is the nearest hospital by bike
is there parking at the hospital for visitors
what are the visiting hours on ward three

play the episode about poisons in old novels
what's a good crime story set in a hospital
which poison was used in that play

the game says i need to revive my teammate
how do i heal in this level i've got no health left
my character keeps drowning how do i swim

write a card for a friend who broke her leg skiing
find get well soon flowers under thirty
what should i bring to somebody in hospital

the dog rolled in something and he smells awful
book the vet for the annual vaccination
how often should a puppy eat

turn the volume down the baby is asleep
the smoke alarm battery is low how do i change it
test the smoke alarm on saturday at ten

he passed out on the sofa after the big dinner and he's snoring
she crashed at ten she was so tired
i'm exhausted wake me at eight

what's the difference between a cold and the flu
how is a broken arm treated usually
how do hospitals decide who goes first

grandma is coming on sunday add her to the calendar
grandpa wants the football on channel four
tell dad dinner is ready

what happens when the heart beats faster in sport
show my heart rate from this morning's run
how many steps did i take today

stop the music i can't hear myself think
this chair is breaking my back order another one
"""

TRAINED = 0.6  # share of the situations of either kind that are trained on
ANNOTATORS = ("reviewer-1", "reviewer-2", "reviewer-3")


def rows() -> list[dict[str, object]]:
    """Labels of lines; every fifth line has two reviewers, who don't always agree."""
    out: list[dict[str, object]] = []
    for name, text, label in (("emergency", EMERGENCIES, 1), ("benign", BENIGN, 0)):
        situations = [block.splitlines() for block in text.strip().split("\n\n")]
        for number, lines in enumerate(situations):
            late = (number * 7) % 10 >= 10 * TRAINED
            for place, line in enumerate(lines):
                row = {
                    "id": f"{name}-{number:02}-{place}",
                    "text": line,
                    "labels": {"medical_emergency": label},
                    "source": "reviewers",
                    "licence": "MIT",
                    "group": f"{name}-{number:02}",
                    "split": "val" if late else "train",
                    "annotator": ANNOTATORS[len(out) % 2],
                }
                if number == 0:
                    row["golden"] = True
                out.append(row)
                if len(out) % 5 == 0:
                    doubted = label if len(out) % 25 else 1 - label
                    out.append(
                        row
                        | {"annotator": ANNOTATORS[2], "labels": {"medical_emergency": doubted}}
                        | {"golden": False}
                    )
    return out


if __name__ == "__main__":
    file = Path(__file__).with_name("new-labels.jsonl")
    file.write_text("".join(json.dumps(row) + "\n" for row in rows()))
